package policy

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/policy/matrix"
	"github.com/gopherwood-dev/gopherwood/sdk/goversion"
)

// What one expression may cost. Costs are CEL's own units, about one an
// operation and one for each ten characters that a string function reads.
const (
	maxExpressionRunes = 8 << 10
	maxExpressionNodes = 5_000
	maxRegexProgram    = 2_000
	maxPatternRunes    = 1_000
	maxDepth           = 32
	costLimit          = 1_000_000
	interruptEvery     = 100
)

// The variables of expressions.
const (
	varFile    = "file"
	varFiles   = "files"
	varImage   = "image"
	varFinding = "finding"
	varToday   = "today"
)

// environments are the CEL environments of a policy's expressions: what each
// kind of expression can speak about.
type environments struct {
	file, image, exemption *cel.Env
}

func newEnvironments() (*environments, error) {
	base, err := cel.NewEnv(append(functions(),
		cel.Types(
			cel.NativeTypeFor[api.Facts](ext.ParseStructTag("json")),
			cel.NativeTypeFor[api.Finding](ext.ParseStructTag("json")),
			cel.NativeTypeFor[matrix.Support](ext.ParseStructTag("json")),
		),
		cel.OptionalTypes(),
		ext.Strings(),
		cel.ParserExpressionSizeLimit(maxExpressionRunes),
		cel.ExpressionNodeLimit(maxExpressionNodes),
		cel.ParserRecursionLimit(maxDepth),
		cel.RegexProgramSizeLimit(maxRegexProgram),
		cel.Variable(varToday, cel.TimestampType),
	)...)
	if err != nil {
		return nil, err
	}
	facts, image := cel.ObjectType("api.Facts"), cel.ObjectType("api.Image")
	file, errFile := base.Extend(cel.Variable(varFile, facts))
	img, errImage := base.Extend(cel.Variable(varImage, image), cel.Variable(varFiles, cel.ListType(facts)))
	exemption, errExemption := base.Extend(cel.Variable(varFile, facts), cel.Variable(varImage, image),
		cel.Variable(varFinding, cel.ObjectType("api.Finding")))
	return &environments{file: file, image: img, exemption: exemption}, errors.Join(errFile, errImage, errExemption)
}

// The functions that depend on the setting of a verdict and are bound to it when
// an expression is evaluated.
const (
	funcGoSupport  = "goSupport"
	funcHasFeature = "hasFeature"
)

// functions declares the functions of package policy.
func functions() []cel.EnvOption {
	text := cel.StringType
	return []cel.EnvOption{
		cel.Function(funcGoSupport, cel.Overload("go_support_string",
			[]*cel.Type{text}, cel.ObjectType("matrix.Support"), cel.LateFunctionBinding())),
		cel.Function(funcHasFeature, cel.Overload("has_feature_string_string",
			[]*cel.Type{text, text}, cel.BoolType, cel.LateFunctionBinding())),
		cel.Function("goCompare", cel.Overload("go_compare_string_string",
			[]*cel.Type{text, text}, cel.IntType, cel.BinaryBinding(goCompare))),
		cel.Function("glob", cel.Overload("glob_string_string",
			[]*cel.Type{text, text}, cel.BoolType, cel.BinaryBinding(globMatch))),
	}
}

func goCompare(a, b ref.Val) ref.Val {
	order, err := goversion.Compare(string(a.(types.String)), string(b.(types.String)))
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Int(order)
}

func globMatch(pattern, text ref.Val) ref.Val {
	p := string(pattern.(types.String))
	if utf8.RuneCountInString(p) > maxPatternRunes {
		return types.NewErr("the pattern of glob is longer than %d characters", maxPatternRunes)
	}
	return types.Bool(newGlob(p).match(string(text.(types.String))))
}

// bind returns the functions that depend on set, for one verdict: they remember
// what they answered and are not safe for concurrent use.
func (e *environments) bind(set Setting) map[string]cel.LateBoundFunction {
	adapter := e.file.CELTypeAdapter()
	supports := map[string]ref.Val{}
	return map[string]cel.LateBoundFunction{
		funcGoSupport: func(_ string, args ...ref.Val) ref.Val {
			version := string(args[0].(types.String))
			if supports[version] == nil {
				support := set.Matrix.Support(version, set.Today)
				supports[version] = adapter.NativeToValue(&support)
			}
			return supports[version]
		},
		funcHasFeature: func(_ string, args ...ref.Val) ref.Val {
			has, err := set.Matrix.HasFeature(string(args[0].(types.String)), string(args[1].(types.String)))
			if err != nil {
				return types.WrapErr(err)
			}
			return types.Bool(has)
		},
	}
}

// expression is a compiled CEL expression.
type expression struct{ program cel.Program }

// newExpression plans a checked expression with the limits on what it may cost.
func newExpression(env *cel.Env, ast *cel.Ast) (*expression, error) {
	program, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostLimit(costLimit),
		cel.InterruptCheckFrequency(interruptEvery),
	)
	if err != nil {
		return nil, err
	}
	return &expression{program}, nil
}

// value evaluates the expression.
func (e *expression) value(ctx context.Context, vars cel.Activation) (ref.Val, error) {
	value, _, err := e.program.ContextEval(ctx, vars)
	return value, err
}

// holds evaluates an expression of type bool.
func (e *expression) holds(ctx context.Context, vars cel.Activation) (bool, error) {
	value, err := e.value(ctx, vars)
	if err != nil {
		return false, err
	}
	b, ok := value.(types.Bool)
	if !ok {
		return false, fmt.Errorf("the expression gave %v, not true or false", value.Type())
	}
	return bool(b), nil
}

// day returns the day of t, in UTC.
func day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
