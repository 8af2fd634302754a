// Package codepages gives memory back after a program's start. A large program
// runs much code once, when its packages are initialised; the pages of its file
// that were read for that stay mapped and count as its resident memory. Services
// of which little memory is expected call Release when they are ready: a page that
// is needed again is mapped again, from the page cache as a rule.
package codepages
