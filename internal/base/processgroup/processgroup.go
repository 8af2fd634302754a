// Package processgroup ends programs together with those that they have started.
package processgroup
