//go:build chaos

package chaos

// faultyOperators are the faults that somebody could make. Each has to be caught.
var faultyOperators = []mutant{
	{
		name: "it answers before it writes", file: "webhook/handler.go", first: []string{"start, an API server that is away"},
		text:    "	recorded, err := h.record(ctx, domain, *callback.Event)\n",
		instead: "	event := *callback.Event\n	go func() { _, _ = h.record(context.WithoutCancel(ctx), domain, event) }()\n	recorded := Recorded{}\n",
	},
	{
		name: "it says 200 to what could not be stored", file: "webhook/handler.go", first: []string{"start, an API server that is away"},
		text:    "		return Recorded{}, fmt.Errorf(\"%w: %w\", errStore, err)\n	}\n	observeLag",
		instead: "		return Recorded{}, nil\n	}\n	observeLag",
	},
	{
		name: "it compares sequences as numbers", file: "internal/push/push.go", first: []string{"two pushers"},
		text:    "	case known < 0 && started:\n",
		instead: "	case known < 0 && started && slices.ContainsFunc(pushes, func(p v1alpha1.Push) bool {\n		return len(p.Sequence) > len(event.Sequence) || len(p.Sequence) == len(event.Sequence) && p.Sequence > event.Sequence\n	}):\n		return pushes, Stale, nil\n	case known < 0 && started:\n",
	},
	{
		name: "it compares sequences as texts", file: "internal/push/push.go", first: []string{"next broadcast"},
		text:    "	case known < 0 && started:\n",
		instead: "	case known < 0 && started && slices.ContainsFunc(pushes, func(p v1alpha1.Push) bool { return p.Sequence > event.Sequence }):\n		return pushes, Stale, nil\n	case known < 0 && started:\n",
	},
	{
		name: "the API server names its Jobs", file: "controllers/livestream_apply.go", first: []string{"without the Job in the past, with it now"},
		text:    "	err := r.Create(ctx, job)\n",
		instead: "	job.GenerateName, job.Name = job.Name[:len(job.Name)-5], \"\"\n	err := r.Create(ctx, job)\n",
	},
	{
		name: "an event is written without a resourceVersion", file: "webhook/patch.go", first: []string{"idle in the past, and the backup comes now"},
		text:    "	Metadata statuspatch.Precondition `json:\"metadata\"`\n",
		instead: "	Metadata statuspatch.Precondition `json:\"-\"`\n",
	},
	{
		name: "the status is written without a resourceVersion", file: "internal/statuspatch/statuspatch.go", first: []string{"in the window in the past, and back now", "idle in the past, and on air now", "on air in the past, and over now", "seed 2", "seed 4"},
		text:    "	Metadata Precondition    `json:\"metadata\"`\n",
		instead: "	Metadata Precondition    `json:\"-\"`\n",
	},
	{
		name: "tombstones last a second", file: "internal/push/push.go", first: []string{"reconnect"},
		text:    "	TombstoneLife = time.Hour\n",
		instead: "	TombstoneLife = time.Second\n",
	},
	{
		name: "a stop without a start leaves no tombstone", file: "internal/push/push.go", first: []string{"stop before start"},
		text:    "		pushes = dropStandIn(pushes, event.Time, event.Reason)\n		next, outcome = end(v1alpha1.Push{Sequence: event.Sequence}, event), EndedUnseen\n",
		instead: "		return pushes, Duplicate, nil\n",
	},
	{
		name: "a conflict counts as written", file: "webhook/store.go", first: []string{"start, a conflict"},
		text:    "		if !apierrors.IsConflict(err) {\n			return err\n",
		instead: "		if apierrors.IsConflict(err) {\n			break\n		}\n		if err != nil || true {\n			return err\n",
	},
	{
		name: "a conflict is tried again without a look", file: "webhook/store.go", first: []string{"idle in the past, and the backup comes now"},
		text:    "		decision = s.decide(fresh, waiting...)\n",
		instead: "		stale := stream.DeepCopy()\n		stale.ResourceVersion = fresh.ResourceVersion\n		decision = s.decide(stale, waiting...)\n",
	},
	{
		name: "a missing event_type is 0", file: "internal/provider/tencent/callback.go", first: []string{"no type"},
		text:    "	case !there:\n",
		instead: "	case !there && eventType != 0:\n",
	},
	{
		name: "a second pusher is ignored", file: "internal/push/push.go", first: []string{"two pushers"},
		text:    "		if len(Live(pushes)) >= MaxLive {\n",
		instead: "		if len(Live(pushes)) > 0 {\n			return pushes, Duplicate, nil\n		}\n		if len(Live(pushes)) >= MaxLive {\n",
	},
	{
		name: "an interruption ends all pushes", file: "internal/push/push.go", first: []string{"two pushers"},
		text:    "	return tidy(after, now, event.Sequence), outcome, nil\n",
		instead: "	for i := range after {\n		if outcome == Ended && IsLive(after[i]) {\n			after[i].EndTime = next.EndTime\n		}\n	}\n	return tidy(after, now, event.Sequence), outcome, nil\n",
	},
	{
		name: "an interruption ends the broadcast", file: "internal/plan/broadcast.go", first: []string{"two pushers"},
		text:    "	case len(live) > 0:\n		c.state = v1alpha1.LiveStreamLive\n",
		instead: "	case len(live) > 0 && (c.broadcast == nil || lastOf(o, c.broadcast.Sequences) == nil):\n		c.state = v1alpha1.LiveStreamLive\n",
	},
	{
		name: "a late start revives its push", file: "internal/push/push.go", first: []string{"stop"},
		text:    "		return pushes, Stale, nil\n",
		instead: "		next, outcome = begin(event), Started\n",
	},
	{
		name: "a duplicate is written again", file: "internal/push/push.go", first: []string{"duplicate start"},
		text:    "		return pushes, Duplicate, nil\n",
		instead: "		next, outcome = pushes[known], Started\n",
	},
	{
		name: "a finalizer is left", file: "controllers/scaler_setup.go", first: []string{"deleted on air"},
		text:    "	controllerutil.RemoveFinalizer(next, v1alpha1.FinalizerScale)\n",
		instead: "	_ = controllerutil.RemoveFinalizer\n",
	},
	{
		name: "the share of a deleted stream is kept", file: "controllers/scaler_setup.go", first: []string{"deleted on air, a share that cannot be given back"},
		text:    "	for _, ref := range plan.TargetsOf(stream, settings) {\n		target, err := r.Scaler.GiveBack(",
		instead: "	for _, ref := range plan.TargetsOf(stream, settings)[:0] {\n		target, err := r.Scaler.GiveBack(",
	},
	{
		name: "what was recorded long ago is taken for the latest", file: "controllers/livestream_confirm.go", first: []string{"on air in the past, and over now"},
		text:    "age < 0 || age >= recordedWithin",
		instead: "age < 0",
	},
	{
		name: "a target is scaled on the cache's word", file: "controllers/scaler.go", first: []string{"idle in the past, and its target scaled now"},
		text:    "		sum = confirmed.sum(key.TargetRef)\n",
		instead: "		_ = confirmed\n",
	},
	{
		name: "there is no window", file: "internal/plan/broadcast.go", first: []string{"reconnect"},
		text:    "	c.windowEnd = since.Add(o.Settings.Window(reason))\n",
		instead: "	c.windowEnd = since\n",
	},
	{
		name: "the oldest Job is stopped", file: "internal/plan/workloads.go", first: []string{"Job completed early"},
		text:    "Stop{Workload: run.Workload, JobName: run.JobName, UID: run.UID, Broadcast: run.Broadcast})",
		instead: "Stop{Workload: run.Workload, JobName: o.Runs[0].JobName, UID: o.Runs[0].UID, Broadcast: run.Broadcast})",
	},
	{
		name: "nothing is stopped", file: "controllers/livestream_controller.go", first: []string{"stop"},
		text:    "r.stop(ctx, observed.Stream, p.Stop))",
		instead: "r.stop(ctx, observed.Stream, nil))",
	},
	{
		name: "a Job that cannot be deleted is forgotten", file: "controllers/livestream_apply.go", first: []string{"stop, a Job that cannot be deleted"},
		text:    "			errs = append(errs, fmt.Errorf(\"deleting Job %q: %w\", stop.JobName, err))\n",
		instead: "			_ = fmt.Errorf(\"deleting Job %q: %w\", stop.JobName, err)\n",
	},
	{
		name: "the next broadcast does not wait for the last one", file: "controllers/livestream_controller.go", first: []string{"next broadcast, a Job that cannot be deleted"},
		text:    "	if len(p.Start) > 0 {\n",
		instead: "	if false {\n",
	},
	{
		name: "a Job that the cache does not show is let run", file: "controllers/livestream_controller.go", first: []string{"without the Job in the past, and the next broadcast now"},
		text:    "r.findLeft(ctx, v, p), ",
		instead: "",
	},
	{
		name: "no leader is elected", file: "internal/operator/operator.go", first: []string{"failover"},
		text:    "		LeaderElection:                options.LeaderElect,\n",
		instead: "		LeaderElection:                false,\n",
	},
	{
		name: "Jobs have no owner", file: "internal/workload/job.go", first: []string{"start"},
		text:    "			OwnerReferences: []metav1.OwnerReference{\n				*metav1.NewControllerRef(stream, v1alpha1.GroupVersion.WithKind(\"LiveStream\")),\n			},\n",
		instead: "",
	},
	{
		name: "Pods stay when their Job is stopped", file: "controllers/livestream_apply.go", first: []string{"stop", "next broadcast"},
		text:    "client.PropagationPolicy(metav1.DeletePropagationForeground)",
		instead: "client.PropagationPolicy(metav1.DeletePropagationOrphan)",
	},
	{
		name: "what runs after the end runs twice", file: "internal/plan/afterend.go", first: []string{"after the end"},
		text:    "		p.Start = append(p.Start, Start{Workload: *spec, Part: 1, Ended: &record})\n",
		instead: "		p.Start = append(p.Start, Start{Workload: *spec, Part: 1, Ended: &record}, Start{Workload: *spec, Part: 2, Ended: &record})\n",
	},
	{
		name: "the leader trusts its cache", file: "controllers/livestream_controller.go", first: []string{"on air in the past, and over now"},
		text:    "	if len(p.Start)+len(p.Stop) == 0 && !p.Delete && !observed.yields(p) {\n",
		instead: "	if len(p.Start)+len(p.Stop) >= 0 {\n",
	},
	{
		name: "each callback leaves a goroutine", file: "webhook/handler.go", first: []string{"storm"},
		text:    "	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)\n",
		instead: "	go func() { <-context.Background().Done() }()\n	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)\n",
	},
	{
		name: "each connection leaves a descriptor", file: "webhook/server.go", first: []string{"storm"},
		text: "	server := &http.Server{\n",
		instead: "	var kept []any\n	server := &http.Server{\n		ConnContext: func(ctx context.Context, c net.Conn) context.Context {\n			if tcp, is := c.(*net.TCPConn); is {\n" +
			"				file, _ := tcp.File()\n				kept = append(kept, file)\n			}\n			return ctx\n		},\n",
	},
}
