package plan

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// Same says whether two statuses say the same: what is empty is as what is not there, and times are moments, wherever they were read.
// It is asked of every LiveStream whenever the operator starts, and several times as quick as equality.Semantic.
func Same(a, b *v1alpha1.LiveStreamStatus) bool {
	return same(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

// same compares addressable values of one type.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Struct:
		switch x := a.Addr().Interface().(type) {
		case *metav1.Time:
			return x.Equal(b.Addr().Interface().(*metav1.Time))
		case *metav1.MicroTime:
			return x.Equal(b.Addr().Interface().(*metav1.MicroTime))
		}
		for i := range a.NumField() {
			if !same(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return a.UnsafePointer() == b.UnsafePointer() || same(a.Elem(), b.Elem())
	case reflect.String:
		return a.String() == b.String()
	default:
		return a.Equal(b)
	}
}
