package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RecordingFormat is the format of a recording.
// +kubebuilder:validation:Enum=FMP4;HLS;MKV;FLV
type RecordingFormat string

const (
	// RecordingFormatFMP4 is one fragmented MP4 file.
	RecordingFormatFMP4 RecordingFormat = "FMP4"
	// RecordingFormatHLS is a playlist of the parts as they were pulled.
	RecordingFormatHLS RecordingFormat = "HLS"
	// RecordingFormatMKV is one Matroska file.
	RecordingFormatMKV RecordingFormat = "MKV"
	// RecordingFormatFLV is one FLV file.
	RecordingFormatFLV RecordingFormat = "FLV"
)

// Recording records a broadcast as it is pulled, without encoding it anew: one playable recording per broadcast, across reconnects
// and whatever becomes of the recorder.
type Recording struct {
	// format is FMP4 (fragmented MP4), HLS (a playlist of the parts), MKV or FLV. When unset, FMP4.
	// +optional
	Format RecordingFormat `json:"format,omitempty"`

	// segmentSeconds is how long a part is at least, in seconds. Each part is stored as it closes: at most one is lost with a Pod.
	// Parts end at key frames. With playback over HLS a part is a segment of the playlist as it is. When unset, 2.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=60
	SegmentSeconds int32 `json:"segmentSeconds,omitempty"`

	// uploadTimeoutSeconds is how long after the broadcast the storage is tried, in seconds. What it does not take by then is kept in
	// the spool, which the condition RecordingReady names. When unset, 3600.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=86400
	UploadTimeoutSeconds int32 `json:"uploadTimeoutSeconds,omitempty"`

	// storage is where the recording goes.
	// +required
	Storage RecordingStorage `json:"storage,omitzero"`

	// spool is where parts are kept until the storage has them. When unset, a volume that lives as long as the Pod.
	// +optional
	Spool RecordingSpool `json:"spool,omitzero"`

	// resources of the recorder. When unset, requests of 100m CPU and 128Mi, and a limit of 512Mi memory.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
}

// RecordingStorage is a bucket or a volume.
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.s3) != has(self.persistentVolumeClaim)",message="storage needs exactly one of s3 and persistentVolumeClaim"
type RecordingStorage struct {
	// prefix is put before the path of each recording, which is app/stream/start-broadcast/recording.mp4. When unset, nothing is.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$')",message="prefix must be names with / between, of letters, digits, '.', '_' and '-', without a / at either end"
	Prefix string `json:"prefix,omitempty"`

	// s3 is a bucket of anything that speaks S3: COS, MinIO, AWS.
	// +optional
	S3 S3Storage `json:"s3,omitzero"`

	// persistentVolumeClaim is a claim of the namespace.
	// +optional
	PersistentVolumeClaim VolumeClaim `json:"persistentVolumeClaim,omitzero"`
}

// S3Storage is a bucket.
type S3Storage struct {
	// endpoint is the host of the service, such as cos.ap-guangzhou.myqcloud.com or s3.eu-central-1.amazonaws.com, with a port if
	// need be. http:// can stand before it, for a service within the cluster.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=261
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?://)?[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*(:[0-9]{1,5})?$')",message="endpoint must be a host such as cos.ap-guangzhou.myqcloud.com, without a path"
	Endpoint string `json:"endpoint,omitempty"`

	// region of the bucket. When unset, that which the service tells.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Region string `json:"region,omitempty"`

	// bucket has to exist.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')",message="bucket must be lower-case letters, digits, '.' and '-'"
	Bucket string `json:"bucket,omitempty"`

	// credentialsSecretRef names the Secret with accessKeyID and secretAccessKey, and sessionToken where they are temporary. They need
	// the rights to put, get, list and delete objects under the prefix, and to abort multipart uploads: docs/recording.md lists them.
	// +required
	CredentialsSecretRef SecretReference `json:"credentialsSecretRef,omitzero"`
}

// VolumeClaim names a PersistentVolumeClaim of the namespace.
type VolumeClaim struct {
	// claimName is the name of the PersistentVolumeClaim.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="claimName must be the name of a PersistentVolumeClaim: lower-case letters, digits, '-' and '.'"
	ClaimName string `json:"claimName,omitempty"`
}

// RecordingSpool is a volume for what is not stored yet.
type RecordingSpool struct {
	// persistentVolumeClaim is a claim of the namespace that outlives the Pod: what the storage never took is there afterwards. Each
	// broadcast has a folder of its own in it.
	// +required
	PersistentVolumeClaim VolumeClaim `json:"persistentVolumeClaim,omitzero"`
}

// RecordingStatus is what became of the recording of a broadcast.
type RecordingStatus struct {
	// name is that of the workload that recorded.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	Name string `json:"name,omitempty"`

	// uri is where the recording is: s3://bucket/key, or pvc://claim/path; where it could not be stored, the file of the spool.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	URI string `json:"uri,omitempty"`

	// durationSeconds is the length of its media, without gaps.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DurationSeconds *int64 `json:"durationSeconds,omitempty"`

	// sizeBytes of its file; with HLS of its playlist and parts.
	// +optional
	// +kubebuilder:validation:Minimum=0
	SizeBytes *int64 `json:"sizeBytes,omitempty"`

	// sha256 of its file, in lower-case hex.
	// +optional
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// gaps is how often nothing was recorded for half a second or more, and gapSeconds for how long in all: the pauses of the pusher
	// are in it. The manifest beside the recording lists them.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Gaps *int32 `json:"gaps,omitempty"`

	// gapSeconds is the length of all gaps.
	// +optional
	// +kubebuilder:validation:Minimum=0
	GapSeconds *int64 `json:"gapSeconds,omitempty"`

	// readyTime is when the recording was complete and verified. Unset while it is not.
	// +optional
	ReadyTime *metav1.Time `json:"readyTime,omitempty"`

	// message says in a sentence why it is not complete, or what is beside it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}
