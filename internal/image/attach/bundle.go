package attach

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"google.golang.org/protobuf/encoding/protojson"
)

// seal signs a statement in the form of a Sigstore bundle without a
// transparency log: a DSSE envelope, and a hint at the key.
func (s *Signer) seal(payload []byte) ([]byte, error) {
	sig, err := s.sign(dsse.PAE(statementMedia, payload))
	if err != nil {
		return nil, err
	}
	data, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: bundleMedia,
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_PublicKey{
				PublicKey: &protocommon.PublicKeyIdentifier{Hint: s.public.hint()},
			},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			PayloadType: statementMedia, Payload: payload, Signatures: []*protodsse.Signature{{Sig: sig}},
		}},
	})
	if err != nil {
		return nil, err
	}
	// protojson puts spaces where it likes, so that nobody relies on its bytes.
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// envelope is what a bundle holds.
type envelope struct{ payload, signature []byte }

// openBundle reads a bundle, without verifying it.
func openBundle(data []byte) (envelope, error) {
	if len(data) > maxBundle {
		return envelope{}, fmt.Errorf("the bundle has %d bytes, more than the limit of %d", len(data), maxBundle)
	}
	var b protobundle.Bundle
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, &b); err != nil {
		return envelope{}, errors.New("it is no JSON of a Sigstore bundle")
	}
	e := b.GetDsseEnvelope()
	switch {
	case !strings.HasPrefix(b.GetMediaType(), bundlePrefix):
		return envelope{}, fmt.Errorf("the media type %q in the bundle is not that of one", b.GetMediaType())
	case e == nil:
		return envelope{}, errors.New("the bundle has no DSSE envelope")
	case e.GetPayloadType() != statementMedia:
		return envelope{}, fmt.Errorf("the envelope holds %q and not an in-toto statement", e.GetPayloadType())
	case len(e.GetSignatures()) != 1:
		return envelope{}, fmt.Errorf("the envelope has %d signatures, and a bundle has exactly one", len(e.GetSignatures()))
	}
	return envelope{e.GetPayload(), e.GetSignatures()[0].GetSig()}, nil
}

// signed is what the signature is about.
func (e envelope) signed() []byte { return dsse.PAE(statementMedia, e.payload) }
