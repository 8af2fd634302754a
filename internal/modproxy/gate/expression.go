package gate

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// What one expression may cost. Costs are CEL's own units, about one an
// operation and one for each ten characters that a string function reads.
const (
	maxExpressionRunes = 8 << 10
	maxExpressionNodes = 5_000
	maxRegexProgram    = 2_000
	maxPatternRunes    = 1_000
	maxDepth           = 32
	costLimit          = 100_000
	interruptEvery     = 100
)

// The variables of expressions and templates.
const (
	varPath       = "path"
	varVersion    = "version"
	varAge        = "age"
	varSeenAge    = "seenAge"
	varLicences   = "licences"
	varSize       = "size"
	varPrivate    = "private"
	varPseudo     = "pseudo"
	varPrerelease = "prerelease"
	varToday      = "today"
)

var variableNames = []string{varPath, varVersion, varAge, varSeenAge, varLicences, varSize, varPrivate, varPseudo,
	varPrerelease, varToday}

// environment is what expressions can speak about. It is made once.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	text := cel.StringType
	return cel.NewEnv(
		cel.Variable(varPath, text),
		cel.Variable(varVersion, text),
		cel.Variable(varAge, cel.DurationType),
		cel.Variable(varSeenAge, cel.DurationType),
		cel.Variable(varLicences, cel.ListType(text)),
		cel.Variable(varSize, cel.IntType),
		cel.Variable(varPrivate, cel.BoolType),
		cel.Variable(varPseudo, cel.BoolType),
		cel.Variable(varPrerelease, cel.BoolType),
		cel.Variable(varToday, cel.TimestampType),
		cel.Function("matchModule", cel.Overload("match_module_string_string",
			[]*cel.Type{text, text}, cel.BoolType, cel.BinaryBinding(matchModule))),
		cel.Function("compareVersions", cel.Overload("compare_versions_string_string",
			[]*cel.Type{text, text}, cel.IntType, cel.BinaryBinding(compareVersions))),
		ext.Strings(),
		cel.ParserExpressionSizeLimit(maxExpressionRunes),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.ParserRecursionLimit(maxDepth),
		cel.RegexProgramSizeLimit(maxRegexProgram),
	)
})

func matchModule(patterns, path ref.Val) ref.Val {
	p := string(patterns.(types.String))
	if utf8.RuneCountInString(p) > maxPatternRunes {
		return types.NewErr("the patterns of matchModule are longer than %d characters", maxPatternRunes)
	}
	return types.Bool(module.MatchPrefixPatterns(p, string(path.(types.String))))
}

func compareVersions(a, b ref.Val) ref.Val {
	v, w := string(a.(types.String)), string(b.(types.String))
	for _, s := range []string{v, w} {
		if !semver.IsValid(s) {
			return types.NewErr("%q is no version: want one such as v1.2.3", s)
		}
	}
	return types.Int(semver.Compare(v, w))
}

// newProgram plans a checked expression with the limits on what it may cost.
func newProgram(env *cel.Env, ast *cel.Ast) (cel.Program, error) {
	return env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(costLimit),
		cel.InterruptCheckFrequency(interruptEvery),
	)
}

// holds evaluates an expression of type bool.
func holds(ctx context.Context, p cel.Program, vars cel.Activation) (bool, error) {
	value, _, err := p.ContextEval(ctx, vars)
	if err != nil {
		return false, err
	}
	b, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the expression gave %v, not true or false", value.Type())
	}
	return bool(b), nil
}

// variables are the values of the variables for one candidate.
type variables struct {
	Candidate
	now time.Time
}

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case varPath:
		return v.Path, true
	case varVersion:
		return v.Version, true
	case varAge:
		return v.since(v.Published), true
	case varSeenAge:
		return v.since(v.FirstSeen), true
	case varLicences:
		return v.Licences, true
	case varSize:
		return v.Size, true
	case varPrivate:
		return v.Private, true
	case varPseudo:
		return module.IsPseudoVersion(v.Version), true
	case varPrerelease:
		return prerelease(v.Version), true
	case varToday:
		return v.now.UTC().Truncate(24 * time.Hour), true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (v *variables) Parent() cel.Activation { return nil }

// since returns how long t is past: nothing where t is not known or to come, so
// that what is not known is as new as can be.
func (v *variables) since(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(v.now.Sub(t), 0)
}
