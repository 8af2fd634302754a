package cli

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/gopherwood-dev/gopherwood/api"
	"github.com/gopherwood-dev/gopherwood/internal/cli/render"
	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/internal/image/attach"
	"github.com/gopherwood-dev/gopherwood/internal/image/store"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// attachedForms explains REF in the help of commands about attachments.
const attachedForms = `

A REF is an image in a registry, REGISTRY/REPO[:TAG|@DIGEST], or in an OCI image
layout, oci:DIR[:TAG|@DIGEST].`

func newAttestations(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attestations REF",
		Short: "List what is attached to an image, and who signed it",
		Long: `Attestations lists the statements that are attached to an image, its index and the
manifest of each platform: facts, provenance, bills of materials, signatures. It
says of each whether a trusted key signed it.

JSON and YAML are an AttachmentList; the formats of what is attached are described
in docs/formats/attachments.md.` + attachedForms,
		Example: "  gopherwood attestations --key release.pub registry.example.org/team/app:1.4",
		Args:    oneRef,
	}
	keys, plainHTTP := addTrust(cmd), addPlainHTTP(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		b, s, err := openBeside(cmd.Context(), refs[0], *keys, *plainHTTP)
		if err != nil {
			return err
		}
		items, err := attach.List(cmd.Context(), s, b.verifier)
		if err != nil {
			return err
		}
		return a.attachments(refs[0], items, nil, format.value)
	}
	return cmd
}

func newVerify(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify REF",
		Short: "Say whether a trusted key signed an image",
		Long: `Verify looks for signatures of an image, of its index and of the manifest of each
platform, in the format of cosign. The exit code is 3 unless a trusted key signed
all of them.` + attachedForms,
		Example: "  gopherwood verify --key release.pub registry.example.org/team/app:1.4",
		Args:    oneRef,
	}
	keys, plainHTTP := addTrust(cmd), addPlainHTTP(cmd)
	format := addFormat(cmd, render.Table, render.JSON, render.YAML)
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		b, s, err := openBeside(cmd.Context(), refs[0], *keys, *plainHTTP)
		if err != nil {
			return err
		}
		items, unsigned, err := attach.Verify(cmd.Context(), s, b.verifier)
		if err != nil {
			return err
		}
		if err := a.attachments(refs[0], items, unsigned, format.value); err != nil {
			return err
		}
		if len(unsigned) > 0 {
			return outcome(exitDenied)
		}
		return nil
	}
	return cmd
}

// openBeside opens where the image ref is, and says whose statements beside it are
// trusted.
func openBeside(ctx context.Context, ref string, keys []string, plainHTTP bool) (*beside, store.Store, error) {
	b, err := newBeside(keys, plainHTTP)
	if err != nil {
		return nil, nil, err
	}
	s, err := b.open(ctx, ref)
	return b, s, err
}

// attachments prints what is attached to ref, and tells of errs.
func (a *app) attachments(ref string, items []api.Attachment, errs []error, f render.Format) error {
	for i := range items {
		items[i].Ref = ref
	}
	list := &api.AttachmentList{
		SchemaVersion: api.SchemaVersion, Kind: api.KindAttachmentList,
		Items: append([]api.Attachment{}, items...), Errors: a.tell(errs),
	}
	return render.Attachments(a.stdout, f, list, a.look)
}

// oneRef wants exactly one argument.
func oneRef(cmd *cobra.Command, args []string) error {
	if err := needArgs(1, "a REF")(cmd, args); err != nil {
		return err
	}
	return maxArgs(1)(cmd, args)
}

func addPlainHTTP(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("plain-http", false, "talk HTTP to registries, not HTTPS")
}

func newAttach(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "attach REF",
		Short: "Attach facts, or a statement of your own, to an image",
		Long: `Attach puts statements beside an image that is in a registry or a layout already.
Without --predicate it reads the image of each platform and attaches its facts and
bills of materials; with it, the JSON in a file becomes a statement about what REF
names. With --key the statements and the image are signed.

What is attached already is not attached again.` + attachedForms,
		Example: `  gopherwood attach registry.example.org/team/app:1.4
  gopherwood attach --key cosign.key --predicate review.json --type https://example.org/review/v1 registry.example.org/team/app:1.4`,
		Args: oneRef,
	}
	fl := cmd.Flags()
	predicate := fl.String("predicate", "", "file with the JSON of a predicate")
	kind := fl.String("type", "", "URI of the predicate's type")
	key := fl.String("key", "", "private key that signs; $COSIGN_PASSWORD decrypts it")
	plainHTTP := addPlainHTTP(cmd)
	cmd.RunE = func(cmd *cobra.Command, refs []string) error {
		if (*predicate == "") != (*kind == "") {
			return usage(cmd, "--predicate and --type belong together")
		}
		signer, err := a.signer(*key)
		if err != nil {
			return err
		}
		s, err := store.Open(cmd.Context(), refs[0], store.Options{PlainHTTP: *plainHTTP})
		if err != nil {
			return err
		}
		if *predicate != "" {
			return attachFile(cmd.Context(), s, *predicate, *kind, signer)
		}
		return a.attachMeasured(cmd.Context(), s, refs[0], facts.Options{PlainHTTP: *plainHTTP, CacheDir: cacheDir(a.getenv)}, signer)
	}
	return cmd
}

// attachFile attaches the predicate in file to what s's reference names.
func attachFile(ctx context.Context, s store.Store, file, kind string, signer *attach.Signer) error {
	data, err := readDocument("read predicate", file)
	if err != nil {
		return err
	}
	if !json.Valid(data) {
		return &fault.Error{Code: fault.Invalid, Op: "read predicate", Input: file, Hint: "a predicate is a JSON document"}
	}
	_, desc, err := s.Get(ctx)
	if err != nil {
		return err
	}
	statement, err := attach.NewStatement(desc.Digest, "", kind, json.RawMessage(data))
	if err != nil {
		return err
	}
	return attach.Put(ctx, s, desc, []attach.Statement{statement}, signer)
}

// attachMeasured reads the images that ref names and attaches what it finds.
func (a *app) attachMeasured(ctx context.Context, s store.Store, ref string, opt facts.Options, signer *attach.Signer) error {
	bar := startBar(a.stderr)
	opt.Progress = bar
	subjects, errs, err := read(ctx, []string{ref}, opt, facts.Open, func(s *facts.Subject) ([]*facts.Subject, error) {
		return []*facts.Subject{s}, nil
	})
	bar.stop()
	if err != nil {
		return err
	}
	if len(errs) > 0 { // half of the facts would not be true
		a.tell(errs)
		return outcome(exitFailed)
	}
	for _, subject := range subjects {
		if subject.Image == nil {
			return &fault.Error{Code: fault.Usage, Op: "attach", Input: ref, Hint: "statements can be attached to images only"}
		}
		run := attach.Run{Version: buildVersion().Version, Files: subject.Files}
		if err := attach.PutMeasured(ctx, s, subject.Image.Digest, run, signer); err != nil {
			return err
		}
	}
	if signer == nil {
		return nil
	}
	_, desc, err := s.Get(ctx)
	if err != nil {
		return err
	}
	return attach.Put(ctx, s, desc, nil, signer)
}
