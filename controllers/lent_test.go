package controllers

import (
	"context"
	"reflect"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/internal/trim"
)

// lent are the objects that a pass got as from a cache: trimmed, and shared with everybody else, so that nobody may change them.
type lent struct{ loans []loan }

type loan struct{ object, was client.Object }

type lentKey struct{}

// lending returns a context under which liveReader lends, and what it lent.
func lending(ctx context.Context) (context.Context, *lent) {
	l := &lent{}
	return context.WithValue(ctx, lentKey{}, l), l
}

var trimStream = trim.Streams()

// lend replaces the object by a shallow copy of one that is shared, as the cache does.
func lend(ctx context.Context, object client.Object) error {
	l, lends := ctx.Value(lentKey{}).(*lent)
	if !lends {
		return nil
	}
	transform := trim.Any
	switch object.(type) {
	case *v1alpha1.LiveStream:
		transform = trimStream
	case *v1alpha1.PushDomain:
		transform = trim.PushDomain
	case *batchv1.Job:
		transform = trim.Job
	case *corev1.Pod:
		transform = trim.Pod
	}
	trimmed, err := transform(object.DeepCopyObject())
	if err != nil {
		return err
	}
	shared := trimmed.(client.Object)
	l.loans = append(l.loans, loan{shared, shared.DeepCopyObject().(client.Object)})
	reflect.ValueOf(object).Elem().Set(reflect.ValueOf(shared).Elem())
	return nil
}

// unchanged fails the test where something that was lent is not as it was.
func (l *lent) unchanged(tb testing.TB) {
	tb.Helper()
	for _, loan := range l.loans {
		if diff := gocmp.Diff(loan.was, loan.object); diff != "" {
			tb.Fatalf("the pass changed %T %q of the cache (-before +after):\n%s", loan.object, loan.object.GetName(), diff)
		}
	}
}
