package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/policy"
)

func newPolicy(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "policy",
		Short:   "Test, show and explain policies",
		Example: "  gopherwood policy show",
		Args:    subcommandOnly,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		SuggestionsMinimumDistance: 2,
	}
	cmd.AddCommand(newPolicyTest(a), newPolicyShow(a), newPolicyExplain(a))
	return cmd
}

func newPolicyTest(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test FILE...",
		Short: "Run a policy's own cases",
		Long: `Test compiles policy files and runs the cases that they hold: facts, and the
verdict that they should get. Without cases a policy file is only compiled.

The exit code is 3 when a case fails, 4 when only some of the files could be
loaded, 1 when none could.`,
		Example: "  gopherwood policy test policy.yaml",
		Args:    needArgs(1, "at least one policy FILE"),
	}
	set := addSetting(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		s, err := set.load(cmd)
		if err != nil {
			return err
		}
		return a.testPolicies(cmd.Context(), names, s, format.value)
	}
	return cmd
}

func (a *app) testPolicies(ctx context.Context, names []string, set policy.Setting, f render.Format) error {
	list := render.CaseList{SchemaVersion: api.SchemaVersion, Kind: render.KindCaseList, Items: []render.Cases{}}
	var errs []error
	failed := false
	for _, name := range names {
		p, err := loadPolicy(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		results := render.Cases{File: name, Policy: p.Name(), Results: p.Test(ctx, set)}
		failed = failed || results.Failed() > 0
		list.Items = append(list.Items, results)
	}
	list.Errors = a.tell(errs)
	if err := render.CaseResults(a.stdout, f, &list, a.look); err != nil {
		return err
	}
	if failed {
		return outcome(exitDenied)
	}
	return partial(len(list.Items), len(errs))
}

func newPolicyShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "show",
		Short:   "List the rules of a policy, with the start-up rules",
		Example: "  gopherwood policy show\n  gopherwood policy show --policy policy.yaml -o json",
		Args:    maxArgs(0),
	}
	file := addPolicy(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(*cobra.Command, []string) error {
		p, err := loadPolicy(*file)
		if err != nil {
			return err
		}
		return render.Rules(a.stdout, format.value, ruleList(p, p.Rules()), a.look)
	}
	return cmd
}

func newPolicyExplain(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "explain RULE...",
		Short:   "Say what a rule asks for, why, and what mends it",
		Example: "  gopherwood policy explain start/interpreter-missing",
		Args:    needArgs(1, "at least one RULE"),
		ValidArgsFunction: func(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, r := range policy.Default().Rules() {
				ids = append(ids, r.ID)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
	}
	file := addPolicy(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(_ *cobra.Command, ids []string) error {
		p, err := loadPolicy(*file)
		if err != nil {
			return err
		}
		var rules []policy.Explanation
		var errs []error
		for _, id := range ids {
			rule, err := p.Explain(id)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			rules = append(rules, rule)
		}
		if len(rules) == 0 {
			return errors.Join(errs...)
		}
		a.tell(errs)
		look := a.look
		look.Verbose = true
		if err := render.Rules(a.stdout, format.value, ruleList(p, rules), look); err != nil {
			return err
		}
		return partial(len(rules), len(errs))
	}
	return cmd
}

// addPolicy gives cmd the flag --policy and returns its value.
func addPolicy(cmd *cobra.Command) *string {
	return cmd.Flags().String("policy", "", "policy file (default: the built-in policy)")
}

func ruleList(p *policy.Policy, rules []policy.Explanation) *render.RuleList {
	return &render.RuleList{
		SchemaVersion: api.SchemaVersion,
		Kind:          render.KindRuleList,
		Policy:        p.Name(),
		Description:   p.Description(),
		Items:         rules,
	}
}
