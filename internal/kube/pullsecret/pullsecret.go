// Package pullsecret reads the credentials with which the kubelet would pull a
// pod's images: from the pod's pull secrets, or else its service account's.
//
// Secrets are read one by one by name, never listed or watched: the right to get
// those that pods name is enough. What a node itself has (credential providers, a
// Docker configuration) is not known here.
package pullsecret

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/gopherwood-dev/gopherwood/internal/facts"
	"github.com/gopherwood-dev/gopherwood/sdk/fault"
)

const (
	// missingTTL bounds how long a secret that does not exist is taken for missing:
	// it is often made together with the pod.
	missingTTL = 2 * time.Second
	// getTimeout bounds one request to the API server.
	getTimeout = 10 * time.Second
	// maxCached is how many objects are remembered, maxSecrets how many of one pod
	// are read.
	maxCached  = 4096
	maxSecrets = 64
)

// Reader reads pull secrets. It is safe for concurrent use.
type Reader struct {
	client client.Reader
	ttl    time.Duration
	// key makes fingerprints worthless to who does not have it.
	key [32]byte

	gets   singleflight.Group
	mu     sync.Mutex
	cached map[string]record
}

// record is an object that was read; with neither credentials nor names when it
// does not exist.
type record struct {
	end time.Time
	// entries are a secret's credentials.
	entries []entry
	// secrets are the names that a service account lists.
	secrets []corev1.LocalObjectReference
	// warning says why the secret does not count.
	warning string
}

// New returns a Reader that remembers each object for ttl.
func New(reader client.Reader, ttl time.Duration) *Reader {
	r := &Reader{client: reader, ttl: ttl, cached: map[string]record{}}
	_, _ = rand.Read(r.key[:]) // it never fails
	return r
}

// Keychain returns the credentials that the kubelet would use: those of the pull
// secrets or, when there are none, of the service account's (empty: "default").
// Secrets that do not exist or cannot be understood are passed over; the result
// has a method Warnings that names them. The error is of code Denied when the API
// server refuses the secrets, and Unavailable when it does not answer.
func (r *Reader) Keychain(ctx context.Context, namespace, serviceAccount string, pullSecrets []corev1.LocalObjectReference) (facts.Keychain, error) {
	if len(pullSecrets) == 0 {
		if serviceAccount == "" {
			serviceAccount = "default"
		}
		account, err := r.object(ctx, "serviceaccount", namespace, serviceAccount, r.account)
		if err != nil {
			return nil, err
		}
		pullSecrets = account.secrets
	}
	k := &Keychain{key: r.key[:]}
	for i, ref := range pullSecrets {
		if i == maxSecrets {
			k.warnings = append(k.warnings, fmt.Sprintf("of %d pull secrets only %d are read", len(pullSecrets), maxSecrets))
			break
		}
		if ref.Name == "" {
			continue
		}
		secret, err := r.object(ctx, "secret", namespace, ref.Name, r.secret)
		if err != nil {
			return nil, err
		}
		if secret.warning != "" {
			k.warnings = append(k.warnings, fmt.Sprintf("pull secret %s: %s", ref.Name, secret.warning))
		}
		k.entries = append(k.entries, secret.entries...)
	}
	sortEntries(k.entries)
	return k, nil
}

// object returns what is known of an object, and reads it when that is nothing,
// once for all who ask at the same time.
func (r *Reader) object(ctx context.Context, kind, namespace, name string, read func(context.Context, types.NamespacedName) (record, error)) (record, error) {
	key := kind + "/" + namespace + "/" + name
	if found, ok := r.remembered(key); ok {
		return found, nil
	}
	result := r.gets.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), getTimeout)
		defer cancel()
		found, err := read(ctx, types.NamespacedName{Namespace: namespace, Name: name})
		if err != nil {
			return record{}, apiError(kind, namespace, name, err)
		}
		r.remember(key, found)
		return found, nil
	})
	select {
	case got := <-result:
		return got.Val.(record), got.Err
	case <-ctx.Done():
		return record{}, apiError(kind, namespace, name, ctx.Err())
	}
}

func apiError(kind, namespace, name string, err error) error {
	e := &fault.Error{Code: fault.Unavailable, Op: "read " + kind, Input: namespace + "/" + name, Err: err, Hint: "try again later"}
	switch {
	case errors.Is(err, context.Canceled):
		e.Code = fault.Canceled
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		e.Code, e.Hint = fault.Denied, "allow Gopherwood's service account to get secrets and serviceaccounts"
	}
	return e
}

func (r *Reader) remembered(key string) (record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	found, ok := r.cached[key]
	return found, ok && time.Now().Before(found.end)
}

func (r *Reader) remember(key string, found record) {
	now := time.Now()
	found.end = now.Add(r.ttl)
	if found.warning != "" {
		found.end = now.Add(min(r.ttl, missingTTL))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cached) >= maxCached {
		for k, old := range r.cached {
			if now.After(old.end) {
				delete(r.cached, k)
			}
		}
	}
	if len(r.cached) >= maxCached {
		clear(r.cached)
	}
	r.cached[key] = found
}

// account reads which secrets a service account lists.
func (r *Reader) account(ctx context.Context, name types.NamespacedName) (record, error) {
	var account corev1.ServiceAccount
	err := r.client.Get(ctx, name, &account)
	if apierrors.IsNotFound(err) {
		return record{warning: "it does not exist"}, nil
	}
	return record{secrets: account.ImagePullSecrets}, err
}

// secret reads the credentials of a secret.
func (r *Reader) secret(ctx context.Context, name types.NamespacedName) (record, error) {
	var secret corev1.Secret
	err := r.client.Get(ctx, name, &secret)
	if apierrors.IsNotFound(err) {
		return record{warning: "it does not exist"}, nil
	}
	if err != nil {
		return record{}, err
	}
	var found record
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		found.entries, err = parse(secret.Data[corev1.DockerConfigJsonKey], true)
	case corev1.SecretTypeDockercfg:
		found.entries, err = parse(secret.Data[corev1.DockerConfigKey], false)
	default:
		err = fmt.Errorf("its type is %q, not that of a pull secret", secret.Type)
	}
	if err != nil {
		found = record{warning: err.Error()}
	}
	return found, nil
}

// Keychain holds the credentials of one pod's pull secrets.
type Keychain struct {
	key      []byte
	entries  []entry
	warnings []string
}

// String tells no secret.
func (k *Keychain) String() string {
	return fmt.Sprintf("pull secrets for %d registries", len(k.entries))
}

// GoString is String, for %#v.
func (k *Keychain) GoString() string { return k.String() }

// maxTried is how many credentials are tried for one repository.
const maxTried = 20

// Find implements facts.Keychain. The most specific credentials come first.
func (k *Keychain) Find(_ context.Context, repository string) ([]facts.Credentials, error) {
	return k.find(repository), nil
}

func (k *Keychain) find(repository string) []facts.Credentials {
	all := match(k.entries, repository)
	if len(all) > maxTried {
		all = all[:maxTried]
	}
	return all
}

// Fingerprint implements facts.Keychain. It is empty for a repository without
// credentials, and cannot be told from another process's.
func (k *Keychain) Fingerprint(repository string) string {
	all := k.find(repository)
	if len(all) == 0 {
		return ""
	}
	sum := hmac.New(sha256.New, k.key)
	for _, c := range all {
		for _, s := range []string{c.Username, c.Password, c.IdentityToken, c.RegistryToken} {
			var length [8]byte
			binary.BigEndian.PutUint64(length[:], uint64(len(s)))
			sum.Write(length[:])
			sum.Write([]byte(s))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Warnings names the secrets that do not count, and why; never what is in them.
func (k *Keychain) Warnings() []string { return slices.Clone(k.warnings) }
