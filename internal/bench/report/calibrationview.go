package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gopherwood-dev/gopherwood/api"
)

// calibrationView is what the page shows of a calibration.
type calibrationView struct {
	Sentence string
	Notes    []string
	Plot     *plot
	Rows     []calibrationRow
	Facts    []fact
}

type calibrationRow struct {
	Package, Name, Noise, NoiseKey, Round, RoundKey, Detectable string
}

func newCalibrationView(c *api.BenchCalibration) *calibrationView {
	v := &calibrationView{Sentence: calibrationSentence(c), Notes: c.Notes, Plot: detectables(c)}
	for i := range c.Items {
		v.Rows = append(v.Rows, newCalibrationRow(&c.Items[i]))
	}
	v.Facts = append([]fact{{"measured", c.Time}, {"seed", strconv.FormatUint(c.Seed, 10)}}, machineFacts(c.Machine, api.BenchSettings{})...)
	return v
}

func newCalibrationRow(item *api.BenchCalibrationItem) calibrationRow {
	var parts []string
	for _, d := range item.MinDetectable {
		parts = append(parts, fmt.Sprintf("%s in %s", detectable(d.Change), plural(d.Rounds, "round")))
	}
	return calibrationRow{
		Package: item.Package, Name: item.Name, Noise: detectable(math.Expm1(item.Noise)), NoiseKey: key(item.Noise),
		Round: seconds(item.Seconds), RoundKey: key(item.Seconds), Detectable: strings.Join(parts, ", "),
	}
}

// detectables draws the smallest change that is told from none over the number of
// rounds, a curve a benchmark, both on logarithmic axes: four times the rounds
// halve it. It returns nil when there is nothing to draw.
func detectables(c *api.BenchCalibration) *plot {
	const top, bottom = 8.0, 208.0
	var rounds, changes []float64
	for _, item := range c.Items {
		for _, d := range item.MinDetectable {
			if d.Rounds > 0 && d.Change > 0 && !math.IsInf(d.Change, 0) {
				rounds, changes = append(rounds, math.Log(float64(d.Rounds))), append(changes, math.Log(d.Change))
			}
		}
	}
	if len(rounds) < 2 {
		return nil
	}
	p := &plot{Width: plotWidth, Height: bottom + 10 + fontHeight, Title: "smallest detectable change over rounds; the table below has the numbers"}
	x, y := around(rounds, plotLeft, plotRight), around(changes, bottom, top)
	for _, v := range decades(math.Exp(y.from), math.Exp(y.to)) {
		p.line("grid", plotLeft, y.at(math.Log(v)), plotRight, y.at(math.Log(v)))
		p.label(plotLeft-6, y.at(math.Log(v))+4, "end", detectable(v), "soft")
	}
	for _, v := range decades(math.Exp(x.from), math.Exp(x.to)) {
		if v >= 1 {
			p.label(x.at(math.Log(v)), p.Height-4, "middle", strconv.Itoa(int(math.Round(v))), "soft")
		}
	}
	for i := range c.Items {
		p.curve(x, y, &c.Items[i])
	}
	return p
}

// curve draws one benchmark of a calibration.
func (p *plot) curve(x, y axis, item *api.BenchCalibrationItem) {
	var points []float64
	for _, d := range item.MinDetectable {
		if d.Rounds <= 0 || d.Change <= 0 || math.IsInf(d.Change, 0) {
			continue
		}
		left, up := x.at(math.Log(float64(d.Rounds))), y.at(math.Log(d.Change))
		points = append(points, left, up)
		tip := fmt.Sprintf("%s: %s in %s", joined(".", item.Package, item.Name), detectable(d.Change), plural(d.Rounds, "round"))
		p.Dots = append(p.Dots, dot{left, up, 2.5, "sample", tip})
	}
	p.line("curve", points...)
}
