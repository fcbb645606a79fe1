package v1alpha1

import (
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LiveStreamActivity says whether pushes of a stream start workloads.
// +kubebuilder:validation:Enum=Active;Suspended
type LiveStreamActivity string

const (
	// LiveStreamActive runs workloads while the stream is on air.
	LiveStreamActive LiveStreamActivity = "Active"
	// LiveStreamSuspended records pushes in the status and runs nothing.
	LiveStreamSuspended LiveStreamActivity = "Suspended"
)

// WorkloadRun says when a workload runs.
// +kubebuilder:validation:Enum=WhileLive;AfterEnd
type WorkloadRun string

const (
	// WorkloadRunWhileLive runs the workload from the first push of a broadcast until the broadcast ends.
	WorkloadRunWhileLive WorkloadRun = "WhileLive"
	// WorkloadRunAfterEnd runs the workload once after each broadcast, when all its WhileLive Jobs have ended.
	WorkloadRunAfterEnd WorkloadRun = "AfterEnd"
)

// PushDomainReference names a PushDomain of the same namespace.
type PushDomainReference struct {
	// name of the PushDomain, in the LiveStream's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="name must be that of a PushDomain of this namespace, of lower-case letters, digits, '-' and '.'"
	Name string `json:"name,omitempty"`
}

// LiveStreamSpec names one stream and what runs while it is on air.
type LiveStreamSpec struct {
	// pushDomainRef names the PushDomain, in the same namespace, that the stream is pushed to. It cannot be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="pushDomainRef cannot be changed; create another LiveStream for another stream"
	PushDomainRef PushDomainReference `json:"pushDomainRef,omitzero"`

	// appName is the application part of the push URL, rtmp://domain/appName/streamName; CSS uses `live` unless told
	// otherwise. A callback carries it as `appname`. It cannot be changed.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="appName cannot be changed; create another LiveStream for another stream"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$') && !self.contains('/') && !self.contains('?')",message="appName must be printable ASCII without blanks, / or ?, as in the push URL"
	AppName string `json:"appName,omitempty"`

	// streamName is the stream part of the push URL, without parameters. A callback carries it as `stream_id`. It cannot be
	// changed. One LiveStream per push domain, app and stream name: of two, the older keeps the stream.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="streamName cannot be changed; create another LiveStream for another stream"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[!-~]+$') && !self.contains('/') && !self.contains('?')",message="streamName must be printable ASCII without blanks, / or ?, as in the push URL"
	StreamName string `json:"streamName,omitempty"`

	// state is Active or Suspended. While Suspended, pushes are recorded in the status and nothing runs; what runs is ended
	// as at the end of a broadcast. When unset, Active.
	// +optional
	State LiveStreamActivity `json:"state,omitempty"`

	// What is unset here is inherited from spec.template of the PushDomain.
	LiveStreamSettings `json:",inline"`
}

// LiveStreamSettings are what a LiveStream can inherit from its PushDomain's template, setting by setting.
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="!has(self.recording) || !has(self.workloads) || !self.workloads.exists(w, w.name == 'record')",message="the workload that recording makes is named record; give yours another name"
// +kubebuilder:validation:XValidation:rule="!has(self.transcoding) || !has(self.workloads) || !self.workloads.exists(w, w.name == 'transcode')",message="the workload that transcoding makes is named transcode; give yours another name"
type LiveStreamSettings struct {
	// reconnectWindowSeconds is how long workloads stay up after the last push was lost, in seconds. A push that comes back
	// in this time carries the broadcast on, with the same Jobs. A change counts at once, also in a window. When unset, that of the
	// PushDomain's template, or 60.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1800
	ReconnectWindowSeconds *int32 `json:"reconnectWindowSeconds,omitempty"`

	// cleanStopWindowSeconds is the same after a stop from which no quick return is expected: the client asked for it
	// (ClientStopped), the push was idle (IdleTimeout) or the platform refuses it (Refused). When unset, that of the
	// PushDomain's template, or 5.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1800
	CleanStopWindowSeconds *int32 `json:"cleanStopWindowSeconds,omitempty"`

	// maxDurationSeconds is the safety net against a stop that was lost: a push of which nothing was heard for so long counts as
	// ended, in seconds since it was recorded. Where the PushDomain has spec.api, CSS is asked first, and a push that is on air
	// goes on. When unset, that of the PushDomain's template, or 43200 (12 hours).
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2592000
	MaxDurationSeconds int32 `json:"maxDurationSeconds,omitempty"`

	// historyLimit is how many ended broadcasts status.history keeps. When unset, that of the PushDomain's template, or 5.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=50
	HistoryLimit int32 `json:"historyLimit,omitempty"`

	// recording records each broadcast, as a workload named record. A change reaches the next broadcast; once it is taken out, a
	// recorder that ends does not start again in this one either. When unset, that of the PushDomain's template; when that has none
	// either, nothing is recorded.
	// +optional
	Recording Recording `json:"recording,omitzero"`

	// transcoding makes renditions of each broadcast, as a workload named transcode. A change reaches the next broadcast; once it is
	// taken out, a transcoder that ends does not start again in this one either. When unset, that of the PushDomain's template; when
	// that has none either, nothing is transcoded.
	// +optional
	Transcoding Transcoding `json:"transcoding,omitzero"`

	// workloads are what runs while the stream is on air, or after it. A change reaches the next broadcast, and in this one a part
	// that starts again; what runs is never restarted by an edit. When unset, those of the PushDomain's template; when that has none either, nothing runs and the
	// status still tells whether the stream is on air.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Workloads []Workload `json:"workloads,omitempty"`
}

// Workload is one thing that runs while a stream is on air, or after it.
// +kubebuilder:validation:XValidation:rule="has(self.job) != has(self.scale)",message="a workload needs exactly one of job and scale"
// +kubebuilder:validation:XValidation:rule="!has(self.scale) || !has(self.run) || self.run == 'WhileLive'",message="run AfterEnd needs a job; a target is scaled while the stream is live and given back after it"
type Workload struct {
	// name identifies the workload in its LiveStream and becomes part of the names of its Jobs.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="name must be lower-case letters, digits and '-', and begin and end with a letter or digit"
	Name string `json:"name,omitempty"`

	// run says when the workload runs. WhileLive: from the first push of a broadcast until the broadcast ends; a Job that
	// ends earlier is started again, with backoff, as the next part of the broadcast. AfterEnd: once after each broadcast, when
	// its WhileLive Jobs have ended; the Job's own backoffLimit repeats it. When unset, WhileLive.
	// +optional
	Run WorkloadRun `json:"run,omitempty"`

	// job is the template of the Job: one Job per workload and broadcast, across reconnects. Its parallelism is always 1 and
	// its podReplacementPolicy Failed. When its pod template sets no restartPolicy, Never is used; when it sets no
	// ttlSecondsAfterFinished, a finished Job is kept for a day; it is kept for 10 minutes at least, to be seen. Every container gets the LIVESTREAM_* variables, which
	// $(LIVESTREAM_...) puts into command and args. Pods get the restricted Pod Security profile where the template is silent:
	// an image that needs root says so with securityContext.runAsNonRoot: false. `kubectl explain job.spec` describes the fields.
	// +optional
	Job *batchv1.JobTemplateSpec `json:"job,omitempty"`

	// scale names something that exists and is scaled while the stream is on air.
	// +optional
	Scale WorkloadScale `json:"scale,omitzero"`
}

// WorkloadScale is a share in the replicas of something with a scale subresource: a Deployment, a StatefulSet, a custom
// resource. The shares of all LiveStreams of the namespace that name the same target add up. The operator writes the sum when it
// changes or the operator starts, and leaves the replicas alone in between, so that it does not fight with other writers.
type WorkloadScale struct {
	// apiVersion of the target, such as apps/v1.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$')",message="apiVersion must be a version with its group, such as apps/v1"
	APIVersion string `json:"apiVersion,omitempty"`

	// kind of the target, such as Deployment.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z][A-Za-z0-9]*$')",message="kind must be a kind such as Deployment, not a resource such as deployments"
	Kind string `json:"kind,omitempty"`

	// name of the target, in the LiveStream's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="name must be that of the target alone, without its kind: lower-case letters, digits, '-' and '.'"
	Name string `json:"name,omitempty"`

	// replicasWhileLive is this stream's share while it is on air, its window included. When unset, 1.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	ReplicasWhileLive *int32 `json:"replicasWhileLive,omitempty"`

	// replicasWhileIdle is this stream's share otherwise. A LiveStream that is deleted or suspended has none. When unset, 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	ReplicasWhileIdle *int32 `json:"replicasWhileIdle,omitempty"`
}

// LiveStreamState is whether a stream is on air.
// +kubebuilder:validation:Enum=Idle;Live;Interrupted;Unknown
type LiveStreamState string

const (
	// LiveStreamIdle means: nothing is pushed and no broadcast waits for its push to come back.
	LiveStreamIdle LiveStreamState = "Idle"
	// LiveStreamLive means: at least one push is live.
	LiveStreamLive LiveStreamState = "Live"
	// LiveStreamInterrupted means: no push is live, and the broadcast waits for one to come back.
	LiveStreamInterrupted LiveStreamState = "Interrupted"
	// LiveStreamUnknown means: the operator cannot tell, for one because the PushDomain does not exist.
	LiveStreamUnknown LiveStreamState = "Unknown"
)

// PushReason is why a push ended: the class of a CSS interruption code (errcode), see docs/reasons.md, or, where no
// interruption arrived, how the operator found out.
// +kubebuilder:validation:Enum=ClientStopped;ClientDisconnected;NetworkError;PlatformError;ProtocolError;IdleTimeout;ByOperator;Refused;UnknownError;NotOnline;MaxDurationReached
type PushReason string

const (
	// PushReasonClientStopped means: the client asked for the stop (errcode 1, 2, 35).
	PushReasonClientStopped PushReason = "ClientStopped"
	// PushReasonClientDisconnected means: the client closed the connection without saying so (3, 4); it may have crashed.
	PushReasonClientDisconnected PushReason = "ClientDisconnected"
	// PushReasonNetworkError means: the network between client and platform (12 to 17).
	PushReasonNetworkError PushReason = "NetworkError"
	// PushReasonPlatformError means: inside the platform (5, 9, 10, 11, 24, 37, 38).
	PushReasonPlatformError PushReason = "PlatformError"
	// PushReasonProtocolError means: the client sent what the platform cannot take (6, 7, 23, 33, 39); look at the encoder's settings.
	PushReasonProtocolError PushReason = "ProtocolError"
	// PushReasonIdleTimeout means: no data for a long time (8, 20).
	PushReasonIdleTimeout PushReason = "IdleTimeout"
	// PushReasonByOperator means: cut by API or console, or taken over by another push (21); the callback does not tell which.
	PushReasonByOperator PushReason = "ByOperator"
	// PushReasonRefused means: the push was refused (18, 19): account, domain, authentication or a forbidden stream.
	PushReasonRefused PushReason = "Refused"
	// PushReasonUnknownError means: any other code.
	PushReasonUnknownError PushReason = "UnknownError"
	// PushReasonNotOnline means: CSS itself says that the stream is not on air; the interruption was lost.
	PushReasonNotOnline PushReason = "NotOnline"
	// PushReasonMaxDurationReached means: nothing was heard of the push for maxDurationSeconds.
	PushReasonMaxDurationReached PushReason = "MaxDurationReached"
)

// PushSource is how the operator came to know of a push.
// +kubebuilder:validation:Enum=Callback;OnlineList
type PushSource string

const (
	// PushSourceCallback means: its callback arrived.
	PushSourceCallback PushSource = "Callback"
	// PushSourceOnlineList means: CSS lists the stream as on air and no start has arrived. The push stands in for the one whose
	// sequence is not known, until a callback tells it.
	PushSourceOnlineList PushSource = "OnlineList"
)

// Region is where a push enters the platform.
// +kubebuilder:validation:Enum=MainlandChina;Global
type Region string

const (
	// RegionMainlandChina is set_id 1 to 6.
	RegionMainlandChina Region = "MainlandChina"
	// RegionGlobal is set_id 7 to 200.
	RegionGlobal Region = "Global"
)

// Push is one publish of the stream: from its start to its interruption.
type Push struct {
	// sequence identifies the push at the provider; its start and its interruption share it. Opaque text.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Sequence string `json:"sequence,omitempty"`

	// startTime is when the push started, by the provider's clock (event_time of the start). Where only the interruption
	// arrived, it is that event's time less push_duration; unset where that is missing too.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// endTime is when the push ended, by the provider's clock (event_time of the interruption). Unset while the push is live.
	// An ended push stays ended: a start that arrives later starts nothing.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`

	// recordedTime is when the operator recorded the last change of the push, by its own clock, cut to the second. Tombstones are
	// kept for at least an hour from it. While it is new, Jobs start without another read of the LiveStream.
	// +optional
	RecordedTime *metav1.Time `json:"recordedTime,omitempty"`

	// source is Callback, or OnlineList for a push whose start was lost and whose sequence is not known. When unset, Callback.
	// +optional
	Source PushSource `json:"source,omitempty"`

	// clientIP is the address of the pusher.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ClientIP string `json:"clientIP,omitempty"`

	// node is the address of the platform's ingest node.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Node string `json:"node,omitempty"`

	// region is where the push enters the platform: MainlandChina or Global.
	// +optional
	Region Region `json:"region,omitempty"`

	// width of the video in pixels; unset when the provider does not know it yet.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Width int32 `json:"width,omitempty"`

	// height of the video in pixels; unset when the provider does not know it yet.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Height int32 `json:"height,omitempty"`

	// durationMilliseconds is how long the push was on air, as the provider says at its end.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DurationMilliseconds *int64 `json:"durationMilliseconds,omitempty"`

	// errorCode is the provider's code of the interruption (errcode). Unset while the push is live.
	// +optional
	ErrorCode *int32 `json:"errorCode,omitempty"`

	// reason is the class of errorCode. Unset while the push is live.
	// +optional
	Reason PushReason `json:"reason,omitempty"`

	// message is the provider's text of the interruption (errmsg). It changes with time: decide by reason or errorCode.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
}

// Broadcast is what is on air: pushes joined by gaps shorter than the window. Workloads belong to it.
type Broadcast struct {
	// id identifies the broadcast; the names of its Jobs are made from it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	ID string `json:"id,omitempty"`

	// startTime is when the first push of the broadcast started, by the provider's clock.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// pushes is how many pushes the broadcast had so far.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Pushes int32 `json:"pushes,omitempty"`

	// interruptions is how often no push was live and one came back.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Interruptions *int32 `json:"interruptions,omitempty"`

	// reconnectWindowSeconds is the reconnect window as it was known last, inherited or not. It counts while the PushDomain, and its
	// template with it, is gone.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReconnectWindowSeconds *int32 `json:"reconnectWindowSeconds,omitempty"`

	// sequences are the pushes counted in pushes that status.pushes still lists.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Sequences []string `json:"sequences,omitempty"`
}

// WorkloadState is where a workload stands.
// +kubebuilder:validation:Enum=Scheduled;Pending;Running;Waiting;Stopping;Stopped;Completed;Failed
type WorkloadState string

const (
	// WorkloadScheduled means: it runs after the broadcast.
	WorkloadScheduled WorkloadState = "Scheduled"
	// WorkloadPending means: the Job exists or is about to, and no pod of it is ready yet; or its target has not all its replicas.
	WorkloadPending WorkloadState = "Pending"
	// WorkloadRunning means: a pod is ready, or the target is scaled.
	WorkloadRunning WorkloadState = "Running"
	// WorkloadWaiting means: the Job ended while the stream is live; the next part starts after a backoff, and where many wait in its turn.
	WorkloadWaiting WorkloadState = "Waiting"
	// WorkloadStopping means: the broadcast is over and the workload finishes.
	WorkloadStopping WorkloadState = "Stopping"
	// WorkloadStopped means: the operator ended the workload after the broadcast; the message has its exit code.
	WorkloadStopped WorkloadState = "Stopped"
	// WorkloadCompleted means: the Job had completed by itself when the broadcast ended.
	WorkloadCompleted WorkloadState = "Completed"
	// WorkloadFailed means: the Job had failed when the broadcast ended, or cannot be made.
	WorkloadFailed WorkloadState = "Failed"
)

// WorkloadStatus is where one workload of the broadcast stands. After a broadcast it stays until the next one starts.
type WorkloadStatus struct {
	// name is the workload's name in spec.workloads.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	Name string `json:"name,omitempty"`

	// state is where the workload stands.
	// +required
	State WorkloadState `json:"state,omitempty"`

	// jobName is the name of its latest Job.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	JobName string `json:"jobName,omitempty"`

	// part counts the Jobs of the workload in the broadcast, from 1: one that ended early ran again as the next part.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Part int32 `json:"part,omitempty"`

	// startTime is when the pod of the latest Job became ready.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// scale is the share that the broadcast has in a target, as the spec was when it began.
	// +optional
	Scale ScaleShare `json:"scale,omitzero"`

	// message says in a sentence why the workload does not run, or how it ended: exit code and last words.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ScaleShare is a share in the replicas of a target.
type ScaleShare struct {
	// apiVersion of the target.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion,omitempty"`

	// kind of the target.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// name of the target.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// replicas is the share of this stream.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`
}

// BroadcastEndReason says why a broadcast ended: how its last push ended, or what else ended it.
// +kubebuilder:validation:Enum=ClientStopped;ClientDisconnected;NetworkError;PlatformError;ProtocolError;IdleTimeout;ByOperator;Refused;UnknownError;NotOnline;MaxDurationReached;Suspended;PushDomainDeleted;DuplicateStream
type BroadcastEndReason string

const (
	// BroadcastEndSuspended means: spec.state became Suspended while the stream was on air.
	BroadcastEndSuspended BroadcastEndReason = "Suspended"
	// BroadcastEndPushDomainDeleted means: the PushDomain was gone for the reconnect window.
	BroadcastEndPushDomainDeleted BroadcastEndReason = "PushDomainDeleted"
	// BroadcastEndDuplicateStream means: an older LiveStream turned out to have the stream.
	BroadcastEndDuplicateStream BroadcastEndReason = "DuplicateStream"
)

// AfterEndStatus is where a workload that runs after a broadcast stands.
type AfterEndStatus struct {
	// name is the workload's name in spec.workloads.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	Name string `json:"name,omitempty"`

	// state is Scheduled until the Job is made, then Pending, Running, and Completed or Failed.
	// +required
	State WorkloadState `json:"state,omitempty"`

	// jobName is the name of its Job.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	JobName string `json:"jobName,omitempty"`

	// message says in a sentence why it does not run, or how it ended.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// BroadcastRecord is an ended broadcast.
type BroadcastRecord struct {
	// id identified the broadcast.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	ID string `json:"id,omitempty"`

	// startTime is when its first push started, by the provider's clock.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// endTime is when its last push ended, by the provider's clock, or when the operator ended it, by its own.
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`

	// durationSeconds is the time from startTime to endTime, gaps included.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DurationSeconds *int64 `json:"durationSeconds,omitempty"`

	// pushes is how many pushes it had.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Pushes int32 `json:"pushes,omitempty"`

	// interruptions is how often no push was live and one came back.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Interruptions *int32 `json:"interruptions,omitempty"`

	// endReason is why it ended: the reason of the push that ended last, or Suspended, PushDomainDeleted (it was gone for the
	// reconnect window) or DuplicateStream (an older LiveStream has the stream).
	// +optional
	EndReason BroadcastEndReason `json:"endReason,omitempty"`

	// sequence of the push that ended last.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Sequence string `json:"sequence,omitempty"`

	// recordings are what was recorded of it.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=4
	Recordings []RecordingStatus `json:"recordings,omitempty"`

	// afterEnd tells where the workloads stand that run after the broadcast.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	AfterEnd []AfterEndStatus `json:"afterEnd,omitempty"`
}

// LiveStreamStatus is what the operator observed of a stream.
//
// pushes is written only by events, always with the resourceVersion they were decided on, and with what follows from them alone; all
// else only by the reconciler.
// +kubebuilder:validation:MinProperties=1
type LiveStreamStatus struct {
	// conditions are Ready, Live, WorkloadsReady, RecordingReady where something is recorded, and Reconciling or Stalled while they are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// observedGeneration is the generation of the spec that the status speaks of.
	// +optional
	// +kubebuilder:validation:Minimum=1
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state is Idle, Live, Interrupted (no push is live and the broadcast waits for one to come back) or Unknown.
	// `kubectl get lvs --field-selector status.state=Live` selects by it.
	// +optional
	State LiveStreamState `json:"state,omitempty"`

	// since is when the operator saw the state begin, by the clock of the replica that did, in microseconds. The window of an interruption
	// is counted from it, or from when the leader saw it, whichever is later.
	// +optional
	Since *metav1.MicroTime `json:"since,omitempty"`

	// pushes are the live pushes, and ended ones as tombstones for at least an hour, bounded, so that a late or repeated
	// callback of an ended push changes nothing. Written only by events.
	// +optional
	// +listType=map
	// +listMapKey=sequence
	// +kubebuilder:validation:MaxItems=256
	Pushes []Push `json:"pushes,omitempty"`

	// broadcast is what is on air, or waits for its push to come back. Unset while Idle.
	// +optional
	Broadcast Broadcast `json:"broadcast,omitzero"`

	// workloads tell where each workload of the broadcast stands; after it, how each ended.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Workloads []WorkloadStatus `json:"workloads,omitempty"`

	// workloadSummary is the number of workloads that run over the number that the broadcast has, such as 2/2.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16
	WorkloadSummary string `json:"workloadSummary,omitempty"`

	// history lists the last broadcasts, the latest first; spec.historyLimit bounds it.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=50
	History []BroadcastRecord `json:"history,omitempty"`

	// domain is the push domain's host name, for kubectl get -o wide.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Domain string `json:"domain,omitempty"`

	// resolution of the live push, such as 1920x1080; unset when unknown or not live.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Resolution string `json:"resolution,omitempty"`

	// client is the address of the live pusher; of several, the one that started last.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Client string `json:"client,omitempty"`

	// lastError is reason and code of the latest interruption that the client did not ask for, such as NetworkError (errcode 12).
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	LastError string `json:"lastError,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=livestreams,shortName=lvs,categories=all;media
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must have at most 63 characters: it becomes a label of the stream's Jobs"
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Workloads",type=string,JSONPath=`.status.workloadSummary`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.since`
// +kubebuilder:printcolumn:name="Stream",type=string,JSONPath=`.spec.streamName`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Domain",type=string,JSONPath=`.status.domain`,priority=1
// +kubebuilder:printcolumn:name="App",type=string,JSONPath=`.spec.appName`,priority=1
// +kubebuilder:printcolumn:name="Resolution",type=string,JSONPath=`.status.resolution`,priority=1
// +kubebuilder:printcolumn:name="Client",type=string,JSONPath=`.status.client`,priority=1
// +kubebuilder:printcolumn:name="Last error",type=string,JSONPath=`.status.lastError`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:selectablefield:JSONPath=`.spec.pushDomainRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.appName`
// +kubebuilder:selectablefield:JSONPath=`.spec.streamName`
// +kubebuilder:selectablefield:JSONPath=`.status.state`

// LiveStream is one stream of a push domain and the workloads that run while it is on air.
type LiveStream struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec names the stream and what runs while it is on air.
	// +required
	Spec LiveStreamSpec `json:"spec,omitzero"`

	// status is what the operator observed. Users do not write it.
	// +optional
	Status LiveStreamStatus `json:"status,omitzero"`
}

// +kubebuilder:object:root=true

// LiveStreamList is a list of LiveStreams.
type LiveStreamList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []LiveStream `json:"items"`
}
