package v1alpha1

// Conditions that follow kstatus: Ready is always there; Reconciling and Stalled only while True. A PushDomain is never Reconciling: what is tried
// again there has a condition of its own.
const (
	// ConditionReady says whether the operator did what the object asks for. It says nothing about a push: an idle stream is Ready.
	//
	// LiveStream, True: Reconciled. False: PushDomainNotFound, DuplicateStream, PlaybackKeyUnavailable, SecretUnavailable,
	// WorkloadRejected, TargetUnavailable, Retrying.
	// PushDomain, True: Reconciled. False: CallbackKeyUnavailable, PlaybackKeyUnavailable, PathTokenUnavailable,
	// CredentialsUnavailable.
	// The message says what to do. Set by the reconciler, and while it is True by what records an event.
	ConditionReady = "Ready"

	// ConditionReconciling is True while the operator repeats something that failed and can succeed without the user.
	// It has the reason and message of Ready=False. Set by the reconciler, on LiveStreams alone; absent otherwise.
	ConditionReconciling = "Reconciling"

	// ConditionStalled is True when only the user can go on. It has the reason and message of Ready=False.
	// Set by the reconciler; absent otherwise.
	ConditionStalled = "Stalled"
)

// Conditions of a LiveStream.
const (
	// ConditionLive is True while at least one push of the stream is live.
	//
	// True: PushLive. False: NoPush when nothing was pushed since the last broadcast ended, or the reason of the push that
	// ended last (see PushReason) while the operator waits for it to come back. Unknown: PushDomainNotFound, no callback can reach
	// the stream. Set by what records an event, and by the reconciler.
	ConditionLive = "Live"

	// ConditionWorkloadsReady says whether the workloads are as the state of the stream asks for.
	//
	// True: AllRunning while Live; Idle when nothing has to run; Suspended.
	// False: Starting, Stopping, WorkloadFailed (the message names the workload and why). Set by the reconciler, and by what
	// records an event.
	ConditionWorkloadsReady = "WorkloadsReady"

	// ConditionRecordingReady says whether the recording of the latest broadcast is complete and verified.
	//
	// True: Recorded; the message is its URI. False: OnAir, Finishing, NoMedia when nothing came, RecordingFailed when it is not complete
	// (the message says why, and where what there is is kept). Set by the reconciler; absent where nothing is recorded.
	ConditionRecordingReady = "RecordingReady"
)

// Conditions of a PushDomain.
const (
	// ConditionVerified says whether the last callback's signature matched one of the keys.
	//
	// True: SignatureValid. False: SignatureInvalid, or AuthenticationDisabled when spec.callback.authentication is None.
	// Unknown: NoCallback, none has arrived yet. Set by the receiver when the answer changes, at most once a minute.
	ConditionVerified = "Verified"

	// ConditionAPIAvailable says whether CSS answers the questions that spec.api lets the operator ask. While it does not, what is
	// on air counts as on air, for a bounded time.
	//
	// True: Listed. False: CredentialsUnavailable, CredentialsRefused, EndpointNotAllowed, RateLimited, Unreachable. Set by the reconciler; absent
	// without spec.api.
	ConditionAPIAvailable = "APIAvailable"

	// ConditionCallbackSetUp says whether CSS sends its callbacks here, as spec.api.callbackSetup asks.
	//
	// True: SetUp. False: RuleTaken, Drifted, APIFailed, or a reason of APIAvailable. Set by the reconciler; absent without
	// spec.api.callbackSetup.
	ConditionCallbackSetUp = "CallbackSetUp"

	// ConditionUnknownStreamsLimited is True while unknownStreams.maxStreams keeps LiveStreams from being made, a stream's name, or
	// a quota or a policy of the cluster. Reasons: MaxStreamsReached, NameRefused, CreationRefused. Set by the reconciler; absent otherwise.
	ConditionUnknownStreamsLimited = "UnknownStreamsLimited"
)

// Reasons, each named by the condition above that uses it.
const (
	// ReasonReconciled (Ready=True): what the object asks for is done.
	ReasonReconciled = "Reconciled"
	// ReasonPushDomainNotFound (Ready=False, Live=Unknown): spec.pushDomainRef names no PushDomain of the namespace; no callback can reach the stream.
	ReasonPushDomainNotFound = "PushDomainNotFound"
	// ReasonDuplicateStream (Ready=False): an older LiveStream has the same push domain, app and stream name and keeps the stream.
	ReasonDuplicateStream = "DuplicateStream"
	// ReasonPlaybackKeyUnavailable (Ready=False): the playback key cannot be read, so no playback URL can be signed and nothing starts.
	ReasonPlaybackKeyUnavailable = "PlaybackKeyUnavailable"
	// ReasonSecretUnavailable (Ready=False): a Secret that a worker mounts is missing, or an entry of it; its Job is not made.
	ReasonSecretUnavailable = "SecretUnavailable"
	// ReasonCallbackKeyUnavailable (Ready=False): a callback key cannot be read; callbacks signed with it are refused.
	ReasonCallbackKeyUnavailable = "CallbackKeyUnavailable"
	// ReasonWorkloadRejected (Ready=False, Stalled): the API server refused a Job of the stream for good; the message has its words.
	ReasonWorkloadRejected = "WorkloadRejected"
	// ReasonPathTokenUnavailable (Ready=False): the token of the callback path cannot be read; callbacks are answered 503.
	ReasonPathTokenUnavailable = "PathTokenUnavailable"
	// ReasonCredentialsUnavailable (Ready=False, APIAvailable=False): the Secret of spec.api cannot be read or is incomplete.
	ReasonCredentialsUnavailable = "CredentialsUnavailable"
	// ReasonListed (APIAvailable=True): CSS has told which streams are on air.
	ReasonListed = "Listed"
	// ReasonCredentialsRefused (APIAvailable=False): CSS refuses the credentials, or they lack a right.
	ReasonCredentialsRefused = "CredentialsRefused"
	// ReasonRateLimited (APIAvailable=False): CSS answers that it is asked too often.
	ReasonRateLimited = "RateLimited"
	// ReasonEndpointNotAllowed (APIAvailable=False): spec.api.endpoint names a host that the operator may not talk to.
	ReasonEndpointNotAllowed = "EndpointNotAllowed"
	// ReasonUnreachable (APIAvailable=False): CSS does not answer, or not in a way that can be understood.
	ReasonUnreachable = "Unreachable"
	// ReasonSetUp (CallbackSetUp=True): template and rule at CSS are as they have to be.
	ReasonSetUp = "SetUp"
	// ReasonRuleTaken (CallbackSetUp=False): the push domain has a callback rule at CSS that the operator did not make.
	ReasonRuleTaken = "RuleTaken"
	// ReasonDrifted (CallbackSetUp=False): somebody changed the operator's template at CSS.
	ReasonDrifted = "Drifted"
	// ReasonAPIFailed (CallbackSetUp=False): CSS refused to set the callback up.
	ReasonAPIFailed = "APIFailed"
	// ReasonMaxStreamsReached (UnknownStreamsLimited=True): as many LiveStreams were made as maxStreams allows.
	ReasonMaxStreamsReached = "MaxStreamsReached"
	// ReasonNameRefused (UnknownStreamsLimited=True): the API server refused the LiveStream of a stream.
	ReasonNameRefused = "NameRefused"
	// ReasonCreationRefused (UnknownStreamsLimited=True): a quota or a policy of the cluster refused the LiveStream of a stream.
	ReasonCreationRefused = "CreationRefused"
	// ReasonRecorded (RecordingReady=True): the recording is complete and verified.
	ReasonRecorded = "Recorded"
	// ReasonOnAir (RecordingReady=False): the broadcast is not over. The message says whether anything records it.
	ReasonOnAir = "OnAir"
	// ReasonFinishing (RecordingReady=False): the parts are being stored and joined.
	ReasonFinishing = "Finishing"
	// ReasonNoMedia (RecordingReady=False): the broadcast ended, and no media had come.
	ReasonNoMedia = "NoMedia"
	// ReasonRecordingFailed (RecordingReady=False): the recording is not complete; the message says why.
	ReasonRecordingFailed = "RecordingFailed"
	// ReasonTargetUnavailable (Ready=False): a scale target does not exist, cannot be scaled, or the operator may not scale it.
	ReasonTargetUnavailable = "TargetUnavailable"

	// ReasonRetrying (Ready=False, Reconciling): a call failed in a way that can pass; it is repeated. The message stays as it is while no
	// other words of it change than those that hold digits.
	ReasonRetrying = "Retrying"

	// ReasonPushLive (Live=True): a push is on air.
	ReasonPushLive = "PushLive"
	// ReasonNoPush (Live=False): no push since the last broadcast ended.
	ReasonNoPush = "NoPush"

	// ReasonAllRunning (WorkloadsReady=True): every workload runs.
	ReasonAllRunning = "AllRunning"
	// ReasonIdle (WorkloadsReady=True): nothing has to run.
	ReasonIdle = "Idle"
	// ReasonSuspended (WorkloadsReady=True): spec.state is Suspended, nothing runs.
	ReasonSuspended = "Suspended"
	// ReasonStarting (WorkloadsReady=False): a workload's pod is not ready yet.
	ReasonStarting = "Starting"
	// ReasonStopping (WorkloadsReady=False): a workload finishes after the broadcast.
	ReasonStopping = "Stopping"
	// ReasonWorkloadFailed (WorkloadsReady=False): a workload ended early, cannot start or was refused.
	ReasonWorkloadFailed = "WorkloadFailed"

	// ReasonSignatureValid (Verified=True): the last callback was signed with one of the keys.
	ReasonSignatureValid = "SignatureValid"
	// ReasonSignatureInvalid (Verified=False): the last callback was refused: its signature matched no key, or was out of date.
	ReasonSignatureInvalid = "SignatureInvalid"
	// ReasonAuthenticationDisabled (Verified=False): signatures are not looked at; anyone who can reach the path can start workloads.
	ReasonAuthenticationDisabled = "AuthenticationDisabled"
	// ReasonNoCallback (Verified=Unknown): no callback has arrived yet.
	ReasonNoCallback = "NoCallback"
)
