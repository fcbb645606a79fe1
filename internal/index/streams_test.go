package index

import (
	"fmt"
	"testing"

	toolscache "k8s.io/client-go/tools/cache"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
)

func TestCountIsOfThoseThatReferToThePushDomainInItsNamespace(t *testing.T) {
	t.Parallel()
	indexer := toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{"field:" + ByPushDomain: func(object any) ([]string, error) {
		s, is := object.(*v1alpha1.LiveStream)
		if !is {
			return nil, fmt.Errorf("a %T is no LiveStream", object)
		}
		return []string{s.Namespace + "/" + s.Spec.PushDomainRef.Name}, nil
	}})
	for _, of := range []struct{ namespace, name, domain string }{
		{"live", "a", "push"}, {"live", "b", "push"}, {"live", "c", "another"}, {"elsewhere", "a", "push"},
	} {
		s := stream(of.name, 0)
		s.Namespace, s.Spec.PushDomainRef.Name = of.namespace, of.domain
		if err := indexer.Add(&s); err != nil {
			t.Fatal(err)
		}
	}
	for domain, want := range map[string]int{"push": 2, "another": 1, "none": 0} {
		if got, err := (Streams{indexer}).Count("live", domain); got != want || err != nil {
			t.Errorf("Count(%q) = %d, %v, want %d", domain, got, err, want)
		}
	}
	if _, err := (Streams{toolscache.NewIndexer(toolscache.MetaNamespaceKeyFunc, toolscache.Indexers{})}).Count("live", "push"); err == nil {
		t.Error("a cache without the index counts")
	}
}
