package tree

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// Commit is what git says of a commit.
type Commit struct {
	Hash string
	// Time is when it was committed.
	Time time.Time
	// Parents are object names; at the edge of a shallow clone there are none.
	Parents []string
	// Subject is the first paragraph of its message in one line, in UTF-8.
	Subject string
}

// Commit finds a commit by any name that git takes. The error is a *fault.Error,
// NotFound when there is no such commit and Usage for what git would take for an
// option, or that of ctx.
func (r *Repository) Commit(ctx context.Context, revision string) (Commit, error) {
	hash, err := r.commit(ctx, revision)
	if err != nil {
		return Commit{}, err
	}
	out, err := r.run(ctx, "log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%ct%n%P%n%s", hash)
	if err != nil {
		return Commit{}, gitFailed("read commit", revision, err, "")
	}
	committed, rest, _ := strings.Cut(string(out), "\n")
	parents, subject, _ := strings.Cut(rest, "\n")
	seconds, err := strconv.ParseInt(committed, 10, 64)
	if err != nil {
		return Commit{}, &fault.Error{Code: fault.Unsupported, Op: "read commit", Input: revision, Err: errors.New("git did not answer as it should"),
			Hint: "use git 2.15 or newer"}
	}
	return Commit{Hash: hash, Time: time.Unix(seconds, 0).UTC(), Parents: strings.Fields(parents), Subject: strings.TrimSuffix(subject, "\n")}, nil
}

// commit returns the object name of a commit.
func (r *Repository) commit(ctx context.Context, revision string) (string, error) {
	names, err := r.Resolve(ctx, revision)
	if err == nil && names.Commit == "" {
		err = &fault.Error{Code: fault.NotFound, Op: "find revision", Input: revision, Err: errors.New("it is a tree and no commit")}
	}
	return names.Commit, err
}

// Ancestors returns the object names of a commit and of all its ancestors that are
// in the clone, children before parents. The errors are those of Commit.
func (r *Repository) Ancestors(ctx context.Context, revision string) ([]string, error) {
	hash, err := r.commit(ctx, revision)
	if err != nil {
		return nil, err
	}
	out, err := r.run(ctx, "rev-list", "--topo-order", hash)
	if err != nil {
		return nil, gitFailed("list the ancestors of", revision, err, "")
	}
	return strings.Fields(string(out)), nil
}

// Shallow says whether the clone lacks ancestors of its commits.
func (r *Repository) Shallow() bool { return r.shallow }
