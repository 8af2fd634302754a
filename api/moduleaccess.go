package api

// KindModuleAccess is the kind of ModuleAccess.
const KindModuleAccess = "ModuleAccess"

// ModuleAccess says who may read which modules of a module proxy. It is described
// in docs/formats/moduleaccess.md.
type ModuleAccess struct {
	SchemaVersion string `json:"schemaVersion" yaml:"schemaVersion"`
	Kind          string `json:"kind" yaml:"kind"`
	// Anonymous is what everybody may read, without credentials.
	Anonymous    ModuleRights        `json:"anonymous,omitzero" yaml:"anonymous,omitempty"`
	Users        []ModuleUser        `json:"users,omitempty" yaml:"users,omitempty"`
	Certificates []ModuleCertificate `json:"certificates,omitempty" yaml:"certificates,omitempty"`
}

// ModuleRights are the modules that one may read: those that a pattern of Read
// matches and none of Except.
type ModuleRights struct {
	// Read are patterns of module paths as GOPRIVATE has them, for example
	// "corp.example.com/team" or "*".
	Read []string `json:"read,omitempty" yaml:"read,omitempty"`
	// Except are patterns of what is taken away from Read.
	Except []string `json:"except,omitempty" yaml:"except,omitempty"`
}

// ModuleUser is someone who has a password or tokens. Besides their own rights
// they have those of everybody.
type ModuleUser struct {
	// Name is the user name of basic authentication, and what the log shows.
	Name string `json:"name" yaml:"name"`
	// Password is the bcrypt hash of the password ("$2y$10$…").
	Password string `json:"password,omitempty" yaml:"password,omitempty"`
	// Tokens are the SHA-256 of long random secrets ("sha256:…"), each of which
	// is good as a bearer token and as the password.
	Tokens []string `json:"tokens,omitempty" yaml:"tokens,omitempty"`
	// Read and Except are the user's rights, as in ModuleRights.
	Read   []string `json:"read" yaml:"read"`
	Except []string `json:"except,omitempty" yaml:"except,omitempty"`
}

// ModuleCertificate gives rights to clients with a certificate (mTLS) that the
// server verified. All of the fields about the certificate that are given must
// match, at least one is; a * in them stands for any characters but /.
type ModuleCertificate struct {
	// Name is what the log shows.
	Name string `json:"name" yaml:"name"`
	// CommonName is that of the certificate's subject.
	CommonName string `json:"commonName,omitempty" yaml:"commonName,omitempty"`
	// Unit is an organizational unit (OU) of the certificate's subject.
	Unit string `json:"unit,omitempty" yaml:"unit,omitempty"`
	// DNS, URI and Email are subject alternative names.
	DNS   string `json:"dns,omitempty" yaml:"dns,omitempty"`
	URI   string `json:"uri,omitempty" yaml:"uri,omitempty"`
	Email string `json:"email,omitempty" yaml:"email,omitempty"`
	// Read and Except are the client's rights, as in ModuleRights.
	Read   []string `json:"read" yaml:"read"`
	Except []string `json:"except,omitempty" yaml:"except,omitempty"`
}
