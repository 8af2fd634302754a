package admission_test

import (
	"github.com/gopherwood-dev/gopherwood/internal/kube/admission"
	"github.com/gopherwood-dev/gopherwood/internal/kube/gopolicy"
	"github.com/gopherwood-dev/gopherwood/internal/kube/images"
	"github.com/gopherwood-dev/gopherwood/internal/kube/nodes"
	"github.com/gopherwood-dev/gopherwood/internal/kube/pullsecret"
)

// What the host joins fits together.
var (
	_ admission.Images    = (*images.Store)(nil)
	_ admission.Policies  = (*gopolicy.Set)(nil)
	_ admission.Keychains = (*pullsecret.Reader)(nil)
	_ nodes.Lister        = (*nodes.Watch)(nil)
)
