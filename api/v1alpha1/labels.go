package v1alpha1

// Labels on every Job and Pod that the operator makes, so that users can select them.
const (
	// LabelLiveStream holds the name of the LiveStream that a Job or Pod belongs to.
	LabelLiveStream = "livestream-operator.io/livestream"
	// LabelWorkload holds the name of the workload in spec.workloads.
	LabelWorkload = "livestream-operator.io/workload"
	// LabelBroadcast holds status.broadcast.id.
	LabelBroadcast = "livestream-operator.io/broadcast"
	// LabelPart holds the number of the Job within its broadcast, from 1: a workload that ended early runs again as the next part.
	LabelPart = "livestream-operator.io/part"
	// LabelRun is AfterEnd on Jobs that run after their broadcast, Finish on those that finish its recording, and Push on those that
	// store nothing, and push the stream on; others do not have it.
	LabelRun = "livestream-operator.io/run"
	// RunFinish is a value of LabelRun.
	RunFinish = "Finish"
	// RunPush is a value of LabelRun.
	RunPush = "Push"
	// LabelStop is Signal on Jobs and Pods that are not deleted when their broadcast is over, but told: they finish by themselves.
	LabelStop = "livestream-operator.io/stop-by"
	// StopBySignal is the value of LabelStop.
	StopBySignal = "Signal"
	// LabelPushDomain holds the name of the PushDomain on LiveStreams that its unknownStreams made: they count against its
	// maxStreams, with the owner reference or AnnotationSetFreeBy. With the owner reference it marks what may be deleted again.
	LabelPushDomain = "livestream-operator.io/pushdomain"
	// LabelManagedBy and ManagedBy mark what the operator made.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "livestream-operator"
)

// Annotations on every Job that the operator makes. With them a Job tells which broadcast it began, even when the operator
// died before it could write that into the status.
const (
	// AnnotationSequence holds the sequence of the push that began the broadcast.
	AnnotationSequence = "livestream-operator.io/sequence"
	// AnnotationBroadcastStart holds status.broadcast.startTime, RFC 3339.
	AnnotationBroadcastStart = "livestream-operator.io/broadcast-start"
	// AnnotationUploadTimeout is on Jobs that the worker serves alone: how many seconds after its broadcast its worker tries to store what it has.
	AnnotationUploadTimeout = "livestream-operator.io/upload-timeout-seconds"
)

// FinalizerScale is on LiveStreams with a scale workload: their share has to be given back, which no owner reference does.
const FinalizerScale = "livestream-operator.io/scale"

// AnnotationMadeAs is on a LiveStream that unknownStreams made: a digest of the labels and annotations that it was made with, those
// that admission added among them, by which an edit of them is told.
const AnnotationMadeAs = "livestream-operator.io/made-as"

// AnnotationSetFreeBy is on a LiveStream that unknownStreams made and that was edited since: the UID of the PushDomain that it belonged to, whose
// maxStreams it counts against while it has LabelPushDomain too.
const AnnotationSetFreeBy = "livestream-operator.io/set-free-by"

// The names of the workloads that spec.recording and spec.transcoding make.
const (
	WorkloadRecord    = "record"
	WorkloadTranscode = "transcode"
)
