package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Provider is the live service that sends the callbacks.
// +kubebuilder:validation:Enum=TencentCSS
type Provider string

// ProviderTencentCSS is Tencent Cloud CSS (Cloud Streaming Services).
const ProviderTencentCSS Provider = "TencentCSS"

// CallbackAuthentication says how callbacks prove where they come from.
// +kubebuilder:validation:Enum=Signature;None
type CallbackAuthentication string

const (
	// CallbackAuthenticationSignature refuses callbacks whose signature matches no key.
	CallbackAuthenticationSignature CallbackAuthentication = "Signature"
	// CallbackAuthenticationNone accepts every callback. Insecure.
	CallbackAuthenticationNone CallbackAuthentication = "None"
)

// PlaybackProtocol is how workloads pull a stream.
// +kubebuilder:validation:Enum=RTMP;FLV;HLS
type PlaybackProtocol string

const (
	// PlaybackProtocolRTMP pulls rtmp://domain/app/stream.
	PlaybackProtocolRTMP PlaybackProtocol = "RTMP"
	// PlaybackProtocolFLV pulls http(s)://domain/app/stream.flv.
	PlaybackProtocolFLV PlaybackProtocol = "FLV"
	// PlaybackProtocolHLS pulls http(s)://domain/app/stream.m3u8.
	PlaybackProtocolHLS PlaybackProtocol = "HLS"
)

// PlaybackScheme is the URL scheme of FLV and HLS playback.
// +kubebuilder:validation:Enum=http;https
type PlaybackScheme string

const (
	// PlaybackSchemeHTTP is plain HTTP.
	PlaybackSchemeHTTP PlaybackScheme = "http"
	// PlaybackSchemeHTTPS is HTTP over TLS.
	PlaybackSchemeHTTPS PlaybackScheme = "https"
)

// SecretKeyReference names one key of a Secret in the namespace of the object that refers to it.
type SecretKeyReference struct {
	// name of the Secret, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// key is the entry of the Secret's data. White space around its value is ignored.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// PushDomainSpec describes one push domain as it is set up at the provider.
type PushDomainSpec struct {
	// provider is the live service that sends the callbacks: TencentCSS.
	// +required
	Provider Provider `json:"provider,omitempty"`

	// domain is the push domain. A callback carries it as `app`; case does not matter. It cannot be changed: make another
	// PushDomain for another domain.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="domain cannot be changed; create another PushDomain for another domain"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$')",message="domain must be a host name such as push.example.com, without scheme, port or path"
	Domain string `json:"domain,omitempty"`

	// appID is the Tencent Cloud account's APPID. When set, a callback that carries another appid is refused with 403.
	// When unset, any appid is accepted.
	// +optional
	// +kubebuilder:validation:Minimum=1
	AppID int64 `json:"appID,omitempty"`

	// callback says how callbacks of this domain are authenticated.
	// +required
	Callback Callback `json:"callback,omitzero"`

	// playback says where workloads pull the streams of this domain from; nothing in a callback tells it. When unset,
	// workloads get an empty LIVESTREAM_PLAYBACK_URL.
	// +optional
	Playback Playback `json:"playback,omitzero"`
}

// Callback says how callbacks are authenticated.
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="(has(self.authentication) && self.authentication == 'None') || has(self.keySecretRefs)",message="keySecretRefs is needed to check signatures; set it to the Secret that holds the callback key, or set authentication to None to accept unsigned callbacks (insecure)"
// +kubebuilder:validation:XValidation:rule="!has(self.authentication) || self.authentication != 'None' || !has(self.keySecretRefs)",message="authentication None does not use keySecretRefs; remove one of the two"
type Callback struct {
	// authentication is Signature or None. Signature refuses, with 401, a callback that no key signed. None accepts whatever
	// reaches the path: use it only where nothing but CSS can reach it. When unset, Signature.
	// +optional
	Authentication CallbackAuthentication `json:"authentication,omitempty"`

	// keySecretRefs name the callback keys, as set in the CSS callback template: 1 to 4. The first that matches wins, so that
	// a key can be changed at CSS, which takes 5 to 10 minutes there, without losing a callback: list the old and the new one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	KeySecretRefs []SecretKeyReference `json:"keySecretRefs,omitempty"`

	// clockSkewSeconds is how far the clocks of CSS and the operator may differ, in seconds: a callback is accepted this long
	// after its `t` has passed. When unset, 60.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=900
	ClockSkewSeconds *int32 `json:"clockSkewSeconds,omitempty"`
}

// Playback says where streams are pulled from.
// +kubebuilder:validation:XValidation:rule="self.protocol != 'RTMP' || !has(self.scheme)",message="scheme is for FLV and HLS; remove it, RTMP playback is always rtmp://"
type Playback struct {
	// domain is the playback domain, with a port if it is not the protocol's own: play.example.com or play.example.com:8080.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=259
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$')",message="domain must be a host name, with a port if needed, such as play.example.com:8080, without scheme or path"
	Domain string `json:"domain,omitempty"`

	// protocol is RTMP, FLV or HLS. When unset, FLV.
	// +optional
	Protocol PlaybackProtocol `json:"protocol,omitempty"`

	// scheme is http or https, for FLV and HLS. When unset, https.
	// +optional
	Scheme PlaybackScheme `json:"scheme,omitempty"`

	// keySecretRef names the playback key of the domain (Tencent Cloud's playback authentication). When set, playback URLs
	// are signed with txSecret and txTime. When unset, they are not.
	// +optional
	KeySecretRef SecretKeyReference `json:"keySecretRef,omitzero"`

	// validitySeconds is how long a signed playback URL can be opened, in seconds from the start of the Job it is made for.
	// A pull that is open goes on after it; HLS opens again and again, so choose longer than the longest show. When unset, 86400.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=31536000
	ValiditySeconds int32 `json:"validitySeconds,omitempty"`
}

// PushDomainStatus is what the operator observed of a push domain.
// +kubebuilder:validation:MinProperties=1
type PushDomainStatus struct {
	// conditions are Ready, Verified (the last callback's signature), and Reconciling or Stalled while they are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// callbackPath is what to paste into the CSS console, after https:// and the host under which the operator's callback
	// Service is reached, as the URL for push start and for push interruption.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	CallbackPath string `json:"callbackPath,omitempty"`

	// liveStreams is how many LiveStreams refer to this push domain. Refreshed at most once a minute.
	// +optional
	// +kubebuilder:validation:Minimum=0
	LiveStreams *int32 `json:"liveStreams,omitempty"`

	// lastCallbackTime is when a callback of this domain last changed a push, by the operator's clock. Refreshed by a
	// callback, at most once a minute. Written by the receiver.
	// +optional
	LastCallbackTime *metav1.Time `json:"lastCallbackTime,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=pushdomains,shortName=pd,categories=media
// +kubebuilder:printcolumn:name="Domain",type=string,JSONPath=`.spec.domain`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Verified",type=string,JSONPath=`.status.conditions[?(@.type=="Verified")].status`
// +kubebuilder:printcolumn:name="Streams",type=integer,JSONPath=`.status.liveStreams`
// +kubebuilder:printcolumn:name="Last callback",type=date,JSONPath=`.status.lastCallbackTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Callback path",type=string,JSONPath=`.status.callbackPath`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.domain`

// PushDomain is a push domain of a live service: how its callbacks are authenticated and where its streams are played.
type PushDomain struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the push domain as it is set up at the provider.
	// +required
	Spec PushDomainSpec `json:"spec,omitzero"`

	// status is what the operator observed. Users do not write it.
	// +optional
	Status PushDomainStatus `json:"status,omitzero"`
}

// +kubebuilder:object:root=true

// PushDomainList is a list of PushDomains.
type PushDomainList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []PushDomain `json:"items"`
}
