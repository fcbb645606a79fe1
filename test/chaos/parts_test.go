//go:build chaos

package chaos

import (
	"slices"

	"github.com/livestream-operator/livestream-operator/internal/installation"
)

// part is what a process of the operator does, and the account that it does it with.
type part struct {
	account   string
	receives  bool
	arguments []string
}

// parts are the operator's processes. The first one leads.
func (o options) parts() []part {
	doesBoth := part{account: installation.Both, receives: true}
	reconciles := part{account: installation.Reconciler, arguments: []string{"--callback-bind-address=0"}}
	receives := part{account: installation.Receiver, receives: true, arguments: []string{"--reconcile=false"}}
	replicas := max(1, o.replicas)
	leads := doesBoth
	if o.split {
		leads = reconciles
	}
	if replicas > 1 {
		leads.arguments = append(leads.arguments, "--leader-elect")
	}
	all := slices.Repeat([]part{leads}, replicas)
	if o.split {
		all = append(all, receives, receives)
	}
	return all
}
