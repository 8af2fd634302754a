package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	distribution "github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"github.com/gopherwood-dev/gopherwood/internal/modproxy/artifact"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

// The bounds of lists.
const (
	// maxPage is the longest page in bytes, maxPages how many there are at most.
	maxPage  = 16 << 20
	maxPages = 10_000
)

// listPage is a page of a list of tags or of the catalog.
type listPage struct {
	Tags         []string `json:"tags"`
	Repositories []string `json:"repositories"`
}

// tags lists the tags of a repository.
func (r *Store) tags(ctx context.Context, repo name.Repository) ([]string, error) {
	var all []string
	err := r.pages(ctx, repo, distribution.PullScope, "/v2/"+repo.RepositoryStr()+"/tags/list", func(p listPage) { all = append(all, p.Tags...) })
	return all, err
}

// pages reads a list, page by page: without a wish for their length, since
// registries refuse one that is above theirs.
func (r *Store) pages(ctx context.Context, repo name.Repository, actions, path string, each func(listPage)) error {
	for range maxPages {
		next, err := r.page(ctx, repo, actions, path, each)
		if err != nil || next == "" {
			return err
		}
		if next == path {
			return &fault.Error{Code: fault.Invalid, Op: "registry", Input: repo.RegistryStr(), Err: errors.New("its list goes round in a circle")}
		}
		path = next
	}
	return &fault.Error{Code: fault.Limit, Op: "registry", Input: repo.RegistryStr(), Err: fmt.Errorf("its list has more than %d pages", maxPages)}
}

// page reads one page and returns the path of the next; "" at the end.
func (r *Store) page(ctx context.Context, repo name.Repository, actions, path string, each func(listPage)) (string, error) {
	resp, err := r.logins.do(ctx, repo, actions, request{method: http.MethodGet, path: path, accept: "application/json"})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := distribution.CheckError(resp, http.StatusOK); err != nil {
		return "", err
	}
	data, err := readAnswer(resp.Body, maxPage)
	if err != nil {
		return "", err
	}
	var p listPage
	if err := json.Unmarshal(data, &p); err != nil {
		return "", &fault.Error{Code: fault.Invalid, Op: "registry", Input: repo.RegistryStr(), Err: fmt.Errorf("its list is not in the form that it must have: %w", err)}
	}
	each(p)
	return nextPage(resp.Request.URL, resp.Header.Get("Link"))
}

// nextPage returns the path with query that a Link header (RFC 8288) names as the
// next page after current; "" when there is none.
func nextPage(current *url.URL, link string) (string, error) {
	target, params, ok := strings.Cut(link, ">")
	target, marked := strings.CutPrefix(strings.TrimSpace(target), "<")
	if !ok || !marked || !strings.Contains(strings.ReplaceAll(params, " ", ""), `rel="next"`) {
		return "", nil
	}
	u, err := current.Parse(target)
	if err != nil || u.Host != current.Host || !strings.HasPrefix(u.Path, "/v2/") {
		return "", &fault.Error{Code: fault.Invalid, Op: "registry", Input: current.Host, Err: fmt.Errorf("its list goes on at %.200q, which is elsewhere", target)}
	}
	if u.RawQuery == "" {
		return u.Path, nil
	}
	return u.Path + "?" + u.RawQuery, nil
}

// listers is how many repositories are looked into at once.
const listers = 8

// Modules implements store.Store. It takes a registry with the catalog API, and an
// account that may use it.
func (r *Store) Modules(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		paths, err := r.modules(ctx)
		if err != nil {
			yield("", r.explain("list modules in", r.Name(), r.prefix, err))
			return
		}
		for _, path := range paths {
			if !yield(path, nil) {
				return
			}
		}
	}
}

func (r *Store) modules(ctx context.Context) ([]string, error) {
	prefix := ""
	if p := r.prefix.RepositoryStr(); p != "" {
		prefix = p + "/"
	}
	var repos []string
	err := r.pages(ctx, r.prefix, distribution.CatalogScope, "/v2/_catalog", func(p listPage) {
		for _, repo := range p.Repositories {
			if below, ok := strings.CutPrefix(repo, prefix); ok && repositoryName.MatchString(below) {
				repos = append(repos, below)
			}
		}
	})
	if refusesCatalog(err) {
		return nil, &fault.Error{Code: fault.Unsupported, Err: fmt.Errorf("it does not tell what it has: %w", answerError(r.prefix, err)),
			Hint: "use an account that may read the registry's catalog, or name the modules"}
	}
	if err != nil {
		return nil, err
	}
	return r.holding(ctx, repos)
}

// refusesCatalog reports whether err says that there is no catalog for this
// account.
func refusesCatalog(err error) bool {
	var answer *distribution.Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}

// holding returns the modules whose versions are in the repositories, sorted.
func (r *Store) holding(ctx context.Context, repos []string) ([]string, error) {
	paths := make([]string, len(repos))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(listers)
	for i, repo := range repos {
		group.Go(func() (err error) {
			paths[i], err = r.moduleIn(ctx, repo)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return p == "" })
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// moduleIn returns the path of the module whose versions are in a repository; ""
// when there are none.
func (r *Store) moduleIn(ctx context.Context, repo string) (string, error) {
	path, err := artifact.ModulePath(repo)
	hashed := errors.Is(err, artifact.ErrHashed)
	if err != nil && !hashed {
		return "", nil //nolint:nilerr // others may have repositories below the prefix, too
	}
	tags, err := r.tags(ctx, r.below(repo))
	if isAbsent(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		if _, err := artifact.VersionOf(tag); err != nil && !errors.Is(err, artifact.ErrHashed) {
			continue
		} else if err == nil && !hashed {
			return path, nil
		}
		m, err := r.read(ctx, r.below(repo), tag)
		if err != nil {
			return "", err
		}
		if m == nil {
			continue
		}
		if again, err := artifact.Repository(m.Path); err == nil && again == repo {
			return m.Path, nil
		}
	}
	return "", nil
}
