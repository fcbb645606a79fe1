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
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be that of a Secret: lower-case letters, digits, '-' and '.'"
	Name string `json:"name,omitempty"`

	// key is the entry of the Secret's data. White space around its value is ignored.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key,omitempty"`
}

// SecretReference names a Secret in the namespace of the object that refers to it.
type SecretReference struct {
	// name of the Secret, in the same namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be that of a Secret: lower-case letters, digits, '-' and '.'"
	Name string `json:"name,omitempty"`
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

	// api lets the operator ask CSS which streams are on air, and so repair a start or a stop whose callback was lost. When
	// unset, callbacks and maxDurationSeconds are all there is.
	// +optional
	API API `json:"api,omitzero"`

	// unknownStreams says what happens when a stream is pushed that no LiveStream claims. When unset, it is remembered in
	// status.unclaimedPushes for a LiveStream that is created later.
	// +optional
	UnknownStreams UnknownStreams `json:"unknownStreams,omitzero"`

	// template is what LiveStreams of this push domain inherit where they set nothing themselves, and what LiveStreams made by
	// unknownStreams look like. A change reaches each as one of its own would.
	// +optional
	Template LiveStreamTemplate `json:"template,omitzero"`
}

// API is how to reach CSS's own API.
type API struct {
	// credentialsSecretRef names the Secret with secretId and secretKey, and token where they are temporary. They need the
	// actions live:DescribeLiveStreamState and live:DescribeLiveStreamOnlineList; callbackSetup those of callback templates and
	// rules too.
	// +required
	CredentialsSecretRef SecretReference `json:"credentialsSecretRef,omitzero"`

	// endpoint is the host of the API: live.tencentcloudapi.com for the China site, live.intl.tencentcloudapi.com for the
	// international one. A host outside tencentcloudapi.com, such as a proxy's, has to be allowed by the operator's flag
	// --css-api-hosts; http:// can stand before it. When unset, live.tencentcloudapi.com.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?://)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$')",message="endpoint must be a host such as live.tencentcloudapi.com, without a path"
	Endpoint string `json:"endpoint,omitempty"`

	// callbackSetup lets the operator make the callback template and rule at CSS, so that nothing has to be pasted into a
	// console. When unset, the operator changes nothing at CSS.
	// +optional
	CallbackSetup CallbackSetup `json:"callbackSetup,omitzero"`
}

// CallbackSetup is what the operator sets up at CSS. It touches no template and no rule that it did not make.
type CallbackSetup struct {
	// baseURL is where CSS reaches the operator's callback Service, such as https://hooks.example.com; status.callbackPath is
	// put after it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$')",message="baseURL must be a scheme and a host, such as https://hooks.example.com, without a path"
	BaseURL string `json:"baseURL,omitempty"`

	// appNames are the applications of the push domain whose callbacks are set up. When unset, live.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	AppNames []string `json:"appNames,omitempty"`
}

// UnknownStreamPolicy says what becomes of a stream that no LiveStream claims.
// +kubebuilder:validation:Enum=Ignore;Create
type UnknownStreamPolicy string

const (
	// UnknownStreamIgnore remembers its pushes, so that a LiveStream that is created later claims them.
	UnknownStreamIgnore UnknownStreamPolicy = "Ignore"
	// UnknownStreamCreate makes a LiveStream for it from the template.
	UnknownStreamCreate UnknownStreamPolicy = "Create"
)

// UnknownStreams says what happens with streams that no LiveStream claims.
// +kubebuilder:validation:MinProperties=1
type UnknownStreams struct {
	// policy is Ignore or Create. Create makes a LiveStream when such a stream is pushed, and deletes it again after it was idle
	// for deleteAfterIdleSeconds, unless somebody edited it. When unset, Ignore.
	// +optional
	Policy UnknownStreamPolicy `json:"policy,omitempty"`

	// maxStreams is how many LiveStreams of this push domain Create makes at most. One that somebody edited counts until
	// you take the label livestream-operator.io/pushdomain off. When unset, 100.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	MaxStreams int32 `json:"maxStreams,omitempty"`

	// deleteAfterIdleSeconds is how long a LiveStream that Create made may be idle before it is deleted with its history, in
	// seconds. What a user created is never deleted, nor what a user edited: its spec, its labels or its annotations. When
	// unset, 86400.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=31536000
	DeleteAfterIdleSeconds int32 `json:"deleteAfterIdleSeconds,omitempty"`
}

// LiveStreamTemplate is what LiveStreams of a push domain have in common.
// +kubebuilder:validation:MinProperties=1
type LiveStreamTemplate struct {
	// metadata is what LiveStreams made by unknownStreams get. It is not inherited by others.
	// +optional
	Metadata TemplateMetadata `json:"metadata,omitzero"`

	// spec is inherited, setting by setting, by LiveStreams that leave it unset.
	// +optional
	Spec LiveStreamSettings `json:"spec,omitzero"`
}

// TemplateMetadata are labels and annotations.
// +kubebuilder:validation:MinProperties=1
type TemplateMetadata struct {
	// labels of the LiveStream.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels map[string]string `json:"labels,omitempty"`

	// annotations of the LiveStream.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Annotations map[string]string `json:"annotations,omitempty"`
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

	// pathTokenSecretRef names a token from which a part of the callback's path is made, so that only who knows the path reaches
	// the push domain. The path depends on token, namespace and name alone: it survives deletion and creation anew. When unset,
	// the path is namespace and name, and the signature is all that protects it.
	// +optional
	PathTokenSecretRef SecretKeyReference `json:"pathTokenSecretRef,omitzero"`

	// clockSkewSeconds is how far the clocks of CSS and the operator may differ, in seconds: a callback is accepted this long
	// after its `t` has passed. When unset, 60.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=900
	ClockSkewSeconds *int32 `json:"clockSkewSeconds,omitempty"`
}

// Playback says where streams are pulled from.
// +kubebuilder:validation:XValidation:rule="!has(self.protocol) || self.protocol != 'RTMP' || !has(self.scheme)",message="scheme is for FLV and HLS; remove it, RTMP playback is always rtmp://"
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
	// conditions are Ready, Verified (the last callback's signature), APIAvailable and CallbackSetUp where spec.api asks for
	// them, UnknownStreamsLimited and Stalled while they are True.
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

	// unclaimedPushes are pushes of streams that no LiveStream claims: those that are live, and for an hour those that have
	// ended, so that a LiveStream created meanwhile knows them. Beyond 128 the oldest are dropped, ended ones first, but for the
	// first 32 that ended within five minutes, and, where unknownStreams makes LiveStreams, those that started within five minutes.
	// Written by the receiver, at most once a second, and by the reconciler when they are claimed.
	// +optional
	// +listType=map
	// +listMapKey=appName
	// +listMapKey=streamName
	// +listMapKey=sequence
	// +kubebuilder:validation:MaxItems=128
	UnclaimedPushes []UnclaimedPush `json:"unclaimedPushes,omitempty"`

	// callbackTemplateID is the CSS callback template that the operator made.
	// +optional
	// +kubebuilder:validation:Minimum=1
	CallbackTemplateID int64 `json:"callbackTemplateID,omitempty"`
}

// UnclaimedPush is a push of a stream that no LiveStream claims.
type UnclaimedPush struct {
	// appName of the stream.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	AppName string `json:"appName,omitempty"`

	// streamName of the stream.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	StreamName string `json:"streamName,omitempty"`

	// The push, as a LiveStream's status.pushes has it.
	Push `json:",inline"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=pushdomains,shortName=pd,categories=media
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must have at most 63 characters: it becomes a label of the LiveStreams that unknownStreams makes"
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
