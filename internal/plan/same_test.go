package plan

import (
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

// fill gives every field, at any depth, a value; change changes the leaf that is reached at the given count, and says whether there is one.
func fill(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *metav1.Time:
		*x = metav1.NewTime(showTime)
		return
	case *metav1.MicroTime:
		*x = metav1.NewMicroTime(showTime)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.String:
		v.SetString("x")
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	default:
		panic("a field of a kind that Same may not know: " + v.Type().String())
	}
}

func change(v reflect.Value, leaf *int) bool {
	switch x := v.Addr().Interface().(type) {
	case *metav1.Time:
		if *leaf--; *leaf == 0 {
			*x = metav1.NewTime(x.Add(time.Second))
		}
		return *leaf <= 0
	case *metav1.MicroTime:
		if *leaf--; *leaf == 0 {
			*x = metav1.NewMicroTime(x.Add(time.Microsecond))
		}
		return *leaf <= 0
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			if change(field, leaf) {
				return true
			}
		}
		return false
	case reflect.Slice:
		for i := range v.Len() {
			if change(v.Index(i), leaf) {
				return true
			}
		}
		return false
	case reflect.Pointer:
		return change(v.Elem(), leaf)
	case reflect.String:
		if *leaf--; *leaf == 0 {
			v.SetString("y")
		}
	default:
		if *leaf--; *leaf == 0 {
			v.SetInt(2)
		}
	}
	return *leaf <= 0
}

func filled() *v1alpha1.LiveStreamStatus {
	s := &v1alpha1.LiveStreamStatus{}
	fill(reflect.ValueOf(s).Elem())
	return s
}

func TestStatusesDifferInWhateverFieldDiffers(t *testing.T) {
	leaves := 0
	for {
		b, leaf := filled(), leaves+1
		if !change(reflect.ValueOf(b).Elem(), &leaf) {
			break
		}
		leaves++
		if Same(filled(), b) || Same(b, filled()) {
			t.Errorf("a change of leaf %d is not seen", leaves)
		}
		if !Same(b, b.DeepCopy()) {
			t.Errorf("a copy with a change of leaf %d differs", leaves)
		}
	}
	if leaves < 100 {
		t.Errorf("only %d fields were changed", leaves)
	}
}

func TestStatusesThatSayTheSameAreTheSame(t *testing.T) {
	empty := &v1alpha1.LiveStreamStatus{Pushes: []v1alpha1.Push{}, Since: new(metav1.NewMicroTime(showTime))}
	absent := &v1alpha1.LiveStreamStatus{Since: new(metav1.NewMicroTime(showTime.In(time.FixedZone("elsewhere", 3600))))}
	if !Same(empty, absent) || !equality.Semantic.DeepEqual(empty, absent) {
		t.Error("an empty list, or the same moment elsewhere, makes a difference")
	}
	if Same(&v1alpha1.LiveStreamStatus{}, absent) {
		t.Error("a time makes no difference")
	}
}

func BenchmarkSame(b *testing.B) {
	x, y := filled(), filled()
	for name, f := range map[string]func() bool{
		"Same":     func() bool { return Same(x, y) },
		"Semantic": func() bool { return equality.Semantic.DeepEqual(x, y) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}
