package versions

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestAVersionIsRefusedUntilAnotherOneIsShown(t *testing.T) {
	r := &Refused{}
	show, other := types.NamespacedName{Namespace: "studio", Name: "show"}, types.NamespacedName{Namespace: "studio", Name: "other"}
	if r.Has(show, "1") {
		t.Error("nothing was refused, and a version counts as refused")
	}
	r.Note(show, "1")
	if !r.Has(show, "1") || r.Has(other, "1") {
		t.Error("the version that was refused is another object's")
	}
	if r.Has(show, "2") || len(r.shown) != 0 {
		t.Errorf("another version is shown, and %v is remembered", r.shown)
	}
	r.Note(show, "2")
	r.Note(show, "3")
	if r.Has(show, "2") || r.Has(show, "3") {
		t.Error("a version that is not shown any more is remembered")
	}
	r.Note(show, "3")
	r.Forget(show)
	if r.Has(show, "3") || len(r.shown) != 0 {
		t.Errorf("the object is gone, and %v is remembered", r.shown)
	}
}
