// Package v1alpha1 holds the LiveStream and PushDomain kinds of livestream-operator.io.
//
// A PushDomain says how push callbacks of one Tencent Cloud CSS push domain are authenticated and where its streams are
// played. A LiveStream names one stream of that domain and the workloads that run while it is on air.
//
// +kubebuilder:object:generate=true
// +groupName=livestream-operator.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "livestream-operator.io", Version: "v1alpha1"}

// schemeBuilder collects the kinds; it is apimachinery's, so that users of the types need no controller-runtime.
var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers the kinds of this package.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &LiveStream{}, &LiveStreamList{}, &PushDomain{}, &PushDomainList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
