package v1alpha1

import corev1 "k8s.io/api/core/v1"

// VideoCodec is what a rendition is encoded with.
// +kubebuilder:validation:Enum=H264;H265
type VideoCodec string

const (
	// VideoCodecH264 plays everywhere.
	VideoCodecH264 VideoCodec = "H264"
	// VideoCodecH265 needs about half the bitrate, and four times the CPU.
	VideoCodecH265 VideoCodec = "H265"
)

// Transcoding encodes a broadcast into renditions of other sizes, all from one decode: as an HLS ladder in a bucket or on a volume, which
// can be played while the stream is on air, or pushed on as a stream of its own for each rendition.
// +kubebuilder:validation:XValidation:rule="!has(self.output.push) || self.renditions.all(r, !has(r.codec) || r.codec != 'H265')",message="RTMP carries no H265: use H264 for renditions that are pushed, or output.storage"
type Transcoding struct {
	// renditions are what is made of the stream. Those that are higher than the source are left out: nothing is upscaled. Where
	// all are, the lowest one is made in the size of the source.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Renditions []Rendition `json:"renditions,omitempty"`

	// segmentSeconds is how long a segment of the ladder is, in seconds; all renditions begin one at the same key frame. When unset, 4.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=30
	SegmentSeconds int32 `json:"segmentSeconds,omitempty"`

	// uploadTimeoutSeconds is how long after the broadcast the storage is tried, in seconds. When unset, 3600.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	UploadTimeoutSeconds int32 `json:"uploadTimeoutSeconds,omitempty"`

	// output is where the renditions go.
	// +required
	Output TranscodingOutput `json:"output,omitzero"`

	// spool is where segments are kept until the storage has them. When unset, a volume that lives as long as the Pod.
	// +optional
	Spool RecordingSpool `json:"spool,omitzero"`

	// resources of the transcoder. When unset, requests that are enough for the renditions at 30 frames a second, as docs/transcoding.md
	// reckons them, and a memory limit of twice the request.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`

	// gpu encodes with a GPU. When unset, the CPU does.
	// +optional
	GPU TranscodingGPU `json:"gpu,omitzero"`
}

// Rendition is one size of the stream.
type Rendition struct {
	// name is the folder of the rendition, and what is put behind the name of the stream, and a _, where it is pushed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="name must be lower-case letters, digits and '-', such as 720p"
	Name string `json:"name,omitempty"`

	// height of the picture in pixels; an even number. Its width follows the source.
	// +required
	// +kubebuilder:validation:Minimum=144
	// +kubebuilder:validation:Maximum=4320
	// +kubebuilder:validation:XValidation:rule="self % 2 == 0",message="height must be even"
	Height int32 `json:"height,omitempty"`

	// videoBitrateKbps in kbit/s, on average and at most over two seconds.
	// +required
	// +kubebuilder:validation:Minimum=50
	// +kubebuilder:validation:Maximum=100000
	VideoBitrateKbps int32 `json:"videoBitrateKbps,omitempty"`

	// audioBitrateKbps in kbit/s, as AAC. When unset, 128.
	// +optional
	// +kubebuilder:validation:Minimum=32
	// +kubebuilder:validation:Maximum=512
	AudioBitrateKbps int32 `json:"audioBitrateKbps,omitempty"`

	// codec is H264 or H265. When unset, H264.
	// +optional
	Codec VideoCodec `json:"codec,omitempty"`

	// frameRate is how many frames a second there are at most. When unset, as many as the source has.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=120
	FrameRate int32 `json:"frameRate,omitempty"`
}

// TranscodingOutput is a ladder in a storage, or pushes.
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.storage) != has(self.push)",message="output needs exactly one of storage and push"
type TranscodingOutput struct {
	// storage takes an HLS ladder: ladder/master.m3u8 in the folder of the broadcast.
	// +optional
	Storage RecordingStorage `json:"storage,omitzero"`

	// push sends each rendition on over RTMP.
	// +optional
	Push RenditionPush `json:"push,omitzero"`
}

// RTMPScheme is how renditions are pushed.
// +kubebuilder:validation:Enum=rtmp;rtmps
type RTMPScheme string

const (
	// RTMPSchemePlain is RTMP.
	RTMPSchemePlain RTMPScheme = "rtmp"
	// RTMPSchemeTLS is RTMP over TLS.
	RTMPSchemeTLS RTMPScheme = "rtmps"
)

// RenditionPush says where renditions are pushed: to scheme://domain/appName/stream_rendition. Take a domain or an application whose
// streams are not transcoded again.
type RenditionPush struct {
	// domain takes the pushes, with a port if need be.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$')",message="domain must be a host such as push.example.com"
	Domain string `json:"domain,omitempty"`

	// scheme is rtmp or rtmps. When unset, rtmp.
	// +optional
	Scheme RTMPScheme `json:"scheme,omitempty"`

	// appName of the pushes. When unset, that of the stream.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9._-]+$')",message="appName must be letters, digits, '.', '_' and '-'"
	AppName string `json:"appName,omitempty"`

	// keySecretRef names the push key of the domain: URLs are signed as CSS wants them (txSecret, txTime). When unset, they are not.
	// +optional
	KeySecretRef SecretKeyReference `json:"keySecretRef,omitzero"`

	// validitySeconds is how long a signed URL can be used to connect, in seconds. When unset, 86400.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=2592000
	ValiditySeconds int32 `json:"validitySeconds,omitempty"`
}

// TranscodingGPU is the device that encodes.
type TranscodingGPU struct {
	// resourceName is the extended resource that the transcoder asks one of, such as nvidia.com/gpu: encoding is NVENC's.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^nvidia[.]com/[a-z0-9]([a-z0-9._-]*[a-z0-9])?$')",message="resourceName must be one of NVIDIA's, such as nvidia.com/gpu"
	ResourceName string `json:"resourceName,omitempty"`
}
