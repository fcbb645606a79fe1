// Package faultproxy stands between a client of Kubernetes and its API server, and has calls go wrong: refused, lost on the way
// there or back, stalled, cut short; watches frozen, late, cut, with one event missing, or too old; lists of the past. It knows
// calls by verb, resource and count, so that a fault hits the same call of every run. The client's credentials are passed on.
//
// It speaks HTTP/1.1 to its client, so that a dropped connection is a dropped connection, not a frame of a shared one.
package faultproxy
