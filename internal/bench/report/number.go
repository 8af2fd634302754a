package report

import (
	"math"
	"strconv"
	"strings"

	"golang.org/x/perf/benchunit"
)

const minus = "−"

// percent returns a change as a fraction in per cent with its sign: "+5.2 %".
// What rounds to zero has no sign. Factors from ten on are told as such: "×12.4".
func percent(change float64) string {
	switch {
	case math.IsNaN(change):
		return "?"
	case math.IsInf(change, 1):
		return "+∞ %"
	case change >= 9:
		return "×" + digits(change+1, 3, 2)
	}
	s := digits(math.Abs(change)*100, 3, 2)
	switch {
	case s == "0":
		return "0 %"
	case change < 0:
		return minus + s + " %"
	}
	return "+" + s + " %"
}

// estimate returns a change that may be unknown.
func estimate(change *float64) string {
	if change == nil {
		return "–"
	}
	return percent(*change)
}

// digits returns v with n significant digits, of which at most decimals stand
// after the point, without zeros at the end; with an exponent from a million on.
func digits(v float64, n, decimals int) string {
	if math.Abs(v) >= 1e6 {
		return strconv.FormatFloat(v, 'g', n, 64)
	}
	if v != 0 {
		decimals = min(decimals, max(0, n-1-int(math.Floor(math.Log10(math.Abs(v))))))
	}
	return trimZeros(strconv.FormatFloat(v, 'f', decimals, 64))
}

func trimZeros(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// interval returns the confidence interval of a change: "+1 % … +3.4 %".
func interval(low, high *float64) string {
	switch {
	case low == nil && high == nil:
		return "unbounded"
	case low == nil:
		return "≤ " + percent(*high)
	case high == nil:
		return "≥ " + percent(*low)
	case *low == *high:
		return percent(*low)
	}
	return percent(*low) + " … " + percent(*high)
}

// scaler writes values of a metric with one prefix, so that they can be
// compared by eye.
type scaler struct {
	factor float64 // from the metric's unit to unit
	unit   string
	scale  benchunit.Scaler
	// si says that the prefix belongs to the unit, as in ms and KiB.
	si bool
}

// newScaler chooses the prefix that suits values of metric: ns/op become
// seconds with SI prefixes, bytes get binary ones, as benchunit has them.
// Other units get a decimal prefix from ten thousand on.
func newScaler(metric string, values ...float64) scaler {
	factor, unit := benchunit.Tidy(1, metric)
	class := benchunit.ClassOf(unit)
	s := scaler{factor: factor, unit: strings.TrimSuffix(unit, "/op")}
	if s.unit == "sec" {
		s.unit = "s"
	}
	s.si = s.unit == "s" || class == benchunit.Binary
	scaled := make([]float64, 0, len(values))
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			scaled = append(scaled, v*factor)
		}
	}
	s.scale = benchunit.CommonScale(scaled, class)
	return s
}

// format returns v with its unit: "12.35 µs", "1.2 KiB", "12 allocs", "34.5k requests".
func (s scaler) format(v float64) string {
	switch {
	case math.IsNaN(v):
		return "? " + s.unit
	case math.IsInf(v, 0):
		return strings.Replace(strconv.FormatFloat(v, 'f', -1, 64), "Inf", "∞", 1) + " " + s.unit
	}
	v *= s.factor
	scaled := trimZeros(strconv.FormatFloat(v/s.scale.Factor, 'f', s.scale.Prec, 64))
	switch {
	case math.Abs(v) >= 1e15:
		return digits(v, 4, 0) + " " + s.unit
	case s.si:
		return scaled + " " + s.scale.Prefix + s.unit
	case math.Abs(v) < 1e4 || s.scale.Factor < 1:
		return strings.TrimSpace(digits(v, 4, 6) + " " + s.unit)
	}
	return strings.TrimSpace(scaled + s.scale.Prefix + " " + s.unit)
}

// value returns one measurement of metric with its unit.
func value(v float64, metric string) string { return newScaler(metric, v).format(v) }

// seconds returns a duration in seconds as people say it: "340 ms", "4.2 s", "3 min 20 s".
func seconds(s float64) string {
	switch {
	case s < 1:
		return digits(s*1000, 3, 2) + " ms"
	case s < 60:
		return digits(s, 2, 1) + " s"
	}
	whole := int64(math.Round(s))
	minutes := strconv.FormatInt(whole/60, 10) + " min"
	if whole%60 == 0 {
		return minutes
	}
	return minutes + " " + strconv.FormatInt(whole%60, 10) + " s"
}
