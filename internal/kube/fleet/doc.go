// Package fleet keeps what runs in a cluster: which containers of which
// workloads, the facts of the images they run, and what the policies say of
// them.
//
// An Inventory is the model. Scan fills one from a few lists and is done; a
// Controller keeps one up to date from watches, and writes reports and metrics.
// Pods that run the same are one Group: only their number changes as pods come
// and go, so that an event costs the same however large the cluster is.
package fleet
