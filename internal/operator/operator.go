// Package operator puts the receiver, the reconcilers and the manager together.
package operator

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/livestream-operator/livestream-operator/api/v1alpha1"
	"github.com/livestream-operator/livestream-operator/controllers"
	"github.com/livestream-operator/livestream-operator/internal/heap"
	"github.com/livestream-operator/livestream-operator/internal/index"
	"github.com/livestream-operator/livestream-operator/internal/notices"
	"github.com/livestream-operator/livestream-operator/internal/secrets"
	"github.com/livestream-operator/livestream-operator/internal/streamwatch"
	"github.com/livestream-operator/livestream-operator/internal/trim"
	"github.com/livestream-operator/livestream-operator/internal/versions"
	"github.com/livestream-operator/livestream-operator/webhook"
)

// The reconciler's: who only receives elects nobody.
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=get;create;update,namespace=livestream-system
// +kubebuilder:rbac:groups="",resources=events,verbs=create,namespace=livestream-system

const (
	// leaseName stays as it is: by it operators of two versions keep from reconciling at once.
	leaseName = "livestream-operator"
	// eventSource is who Kubernetes Events are from.
	eventSource = "livestream-operator"
	// serviceAccountNamespace tells a pod its namespace.
	serviceAccountNamespace = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// DefaultShutdownDelay is longer than a Service takes to forget a Pod. With shutdownTimeout it is within the Pod's grace period.
	DefaultShutdownDelay = 5 * time.Second
	// shutdownTimeout is longer than the receiver needs for its last answers.
	shutdownTimeout = 20 * time.Second
	// The API server needs a second or so to serve a kind whose CRD was just applied.
	kindsEvery    = time.Second
	kindsPatience = time.Minute
)

// none is the address at which nothing is served.
const none = "0"

// Options are the command line's.
type Options struct {
	// CallbackAddress is where callbacks are received; 0 receives none.
	CallbackAddress, MetricsAddress, ProbeAddress string
	// ConnectionsPerSource bounds the open connections of one sender of callbacks; 0 bounds none.
	ConnectionsPerSource int
	// ShutdownDelay is for how long callbacks are received after the end has begun.
	ShutdownDelay time.Duration
	// Reconcile says whether to reconcile, besides receiving or alone.
	Reconcile bool
	// ProfilingAddress, of this machine alone, serves Go's profiles; none when empty.
	ProfilingAddress        string
	LeaderElect             bool
	LeaderElectionNamespace string
	// APIHosts are those that spec.api.endpoint may name besides CSS's own.
	APIHosts []string
	// WorkerImage is what records and transcodes.
	WorkerImage string
	// ProgressInterval is how often workers are asked how they get on; 0 is never.
	ProgressInterval time.Duration
}

func (o Options) receives() bool { return o.CallbackAddress != none }

// check refuses options that contradict each other.
func (o Options) check() error {
	switch {
	case !o.receives() && !o.Reconcile:
		return errors.New("nothing is left to do: --callback-bind-address=0 receives nothing and --reconcile=false reconciles nothing; leave one of them out")
	case o.LeaderElect && !o.Reconcile:
		return errors.New("--leader-elect chooses the replica that reconciles, and with --reconcile=false none does; leave one of them out")
	case o.ConnectionsPerSource < 0:
		return fmt.Errorf("--callback-connections-per-source=%d is less than none; 0 bounds none", o.ConnectionsPerSource)
	case o.ShutdownDelay < 0:
		return fmt.Errorf("--shutdown-delay=%s is less than no time; 0 is none", o.ShutdownDelay)
	case o.ConnectionsPerSource > 0 && !o.receives():
		return errors.New("--callback-connections-per-source bounds who sends callbacks, and with --callback-bind-address=0 none are received; leave one of them out")
	default:
		return checkProfiling(o.ProfilingAddress)
	}
}

// Run runs the operator until the context ends. A process that only receives, or only reconciles, watches and does nothing that the
// role of its part does not allow.
func Run(ctx context.Context, options Options) error {
	if err := options.check(); err != nil {
		return err
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server; set KUBECONFIG or --kubeconfig, or run in a cluster: %w", err)
	}
	// The API server's own priority and fairness is the limit; the client's default of 20 requests a second would be ours.
	config.QPS = -1
	// An API server compresses each event of a watch by itself, and anew for each that watches.
	config.DisableCompression = true
	mapper, err := newMapper(config)
	if err != nil {
		return err
	}
	// First: the manager's caches ask for the kinds when they are made.
	if err := waitForKinds(ctx, mapper); err != nil {
		return err
	}
	mgr, err := newManager(config, mapper, options)
	if err != nil {
		return err
	}
	if err := index.Add(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	if err := addParts(ctx, mgr, options); err != nil {
		return err
	}
	if err := mgr.Add(heap.Rest{}); err != nil {
		return fmt.Errorf("adding what leaves out collections: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	known, err := index.StreamsOf(ctx, mgr.GetCache())
	if err != nil {
		return err
	}
	if err := metrics.Registry.Register(controllers.StreamCollector{Streams: known}); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	return mgr.Start(ctx)
}

// addParts adds what receives, and what reconciles.
func addParts(ctx context.Context, mgr ctrl.Manager, options Options) error {
	common, err := newShared(ctx, mgr, options)
	if err != nil {
		return err
	}
	if options.receives() {
		if err := addReceiver(ctx, mgr, common, options); err != nil {
			return err
		}
	}
	if options.Reconcile {
		if err := addReconcilers(ctx, mgr, common, options); err != nil {
			return err
		}
	}
	return nil
}

// shared is what receiver and reconcilers share in one process.
type shared struct {
	client  *index.Client
	secrets *secrets.Reader
	written *versions.Written
}

func newShared(ctx context.Context, mgr ctrl.Manager, options Options) (shared, error) {
	kinds := []client.Object{&v1alpha1.PushDomain{}, &v1alpha1.LiveStream{}}
	if options.Reconcile {
		kinds = append(kinds, &batchv1.Job{}, &corev1.Pod{})
	}
	found, err := index.NewClient(ctx, mgr.GetClient(), mgr.GetCache(), kinds...)
	if err != nil {
		return shared{}, err
	}
	reader := &secrets.Reader{
		Client: mgr.GetAPIReader(), Clock: clock.RealClock{},
		Keep: webhook.KeepSecrets, AgainAfter: webhook.SecretAgainAfter, MaxKept: webhook.MaxSecrets,
	}
	return shared{client: found, secrets: reader, written: &versions.Written{Clock: clock.RealClock{}}}, nil
}

func newMapper(config *rest.Config) (meta.RESTMapper, error) {
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API server: %w", err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(config, client)
	if err != nil {
		return nil, fmt.Errorf("asking the API server for its kinds: %w", err)
	}
	return mapper, nil
}

func newManager(config *rest.Config, mapper meta.RESTMapper, options Options) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering kinds: %w", err)
		}
	}
	newInformer, err := streamwatch.Informers(config, scheme)
	if err != nil {
		return nil, err
	}
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return mapper, nil },
		Scheme:         scheme,
		Cache: cache.Options{
			// What is read from the cache is the cache's, and shared: who changes it copies it first. Tests watch over that.
			DefaultUnsafeDisableDeepCopy: new(true),
			DefaultTransform:             trim.Any,
			NewInformer:                  newInformer,
			ByObject: map[client.Object]cache.ByObject{
				&v1alpha1.LiveStream{}: {Transform: trim.Streams()},
				&v1alpha1.PushDomain{}: {Transform: trim.PushDomain},
				&batchv1.Job{}:         {Label: ours, Transform: trim.Job},
				&corev1.Pod{}:          {Label: ours, Transform: trim.Pod},
			},
		},
		Metrics:                       metricsserver.Options{BindAddress: options.MetricsAddress},
		HealthProbeBindAddress:        options.ProbeAddress,
		PprofBindAddress:              options.ProfilingAddress,
		LeaderElection:                options.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       leaseNamespace(options.LeaderElectionNamespace),
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       new(options.ShutdownDelay + shutdownTimeout),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up the manager: %w", err)
	}
	return mgr, nil
}

// waitForKinds lets the operator be started right after, or before, its CRDs are applied.
func waitForKinds(ctx context.Context, mapper meta.RESTMapper) error {
	for _, kind := range []string{"LiveStream", "PushDomain"} {
		err := wait.PollUntilContextTimeout(ctx, kindsEvery, kindsPatience, true, func(context.Context) (bool, error) {
			_, err := mapper.RESTMapping(v1alpha1.GroupVersion.WithKind(kind).GroupKind(), v1alpha1.GroupVersion.Version)
			if meta.IsNoMatchError(err) {
				ctrl.Log.Info("Waiting for the CRDs; install them with kubectl apply -k config/crd", "kind", kind)
				return false, nil
			}
			return err == nil, err
		})
		if err != nil {
			return fmt.Errorf("waiting for kind %s; install the CRDs with kubectl apply -k config/crd: %w", kind, err)
		}
	}
	return nil
}

func leaseNamespace(chosen string) string {
	if chosen != "" {
		return chosen
	}
	if _, err := os.Stat(serviceAccountNamespace); err != nil {
		return "default"
	}
	return ""
}

// watch makes the informers of what is read. They have to exist before the start, or it would not wait for them. The check passes
// once all have synced.
func watch(ctx context.Context, mgr ctrl.Manager, objects ...client.Object) (healthz.Checker, error) {
	var informers []cache.Informer
	for _, object := range objects {
		informer, err := mgr.GetCache().GetInformer(ctx, object)
		if err != nil {
			return nil, fmt.Errorf("watching %T: %w", object, err)
		}
		informers = append(informers, informer)
	}
	return func(*http.Request) error {
		for i, informer := range informers {
			if !informer.HasSynced() {
				return fmt.Errorf("the cache of %T has not synced yet", objects[i])
			}
		}
		return nil
	}, nil
}

func addReceiver(ctx context.Context, mgr ctrl.Manager, common shared, options Options) error {
	if _, err := watch(ctx, mgr, &v1alpha1.PushDomain{}, &v1alpha1.LiveStream{}); err != nil {
		return err
	}
	domains := webhook.NewDomainStatus(mgr.GetCache(), mgr.GetAPIReader(), mgr.GetClient(), clock.RealClock{})
	store := webhook.NewStore(common.client, mgr.GetAPIReader(), common.client, common.written, clock.RealClock{})
	store.Domains = domains
	server := &webhook.Server{
		Address: options.CallbackAddress, ConnectionsPerSource: options.ConnectionsPerSource, ShutdownDelay: options.ShutdownDelay,
		Handler: webhook.NewHandler(mgr.GetCache(), common.secrets, store, domains, clock.RealClock{}),
	}
	for _, runnable := range []interface {
		Start(context.Context) error
		NeedLeaderElection() bool
	}{domains, store, server} {
		if err := mgr.Add(runnable); err != nil {
			return fmt.Errorf("adding the receiver: %w", err)
		}
	}
	if err := mgr.AddReadyzCheck("receiver", server.Ready); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return nil
}

// waiting is how many objects may wait for a reconciler that no watch brings.
const waiting = 1024

func addReconcilers(ctx context.Context, mgr ctrl.Manager, common shared, options Options) error {
	streamsAgain, domainsAgain := make(chan event.GenericEvent, waiting), make(chan event.GenericEvent, waiting)
	poller := &controllers.OnlinePoller{Cache: common.client, Secrets: common.secrets, Clock: clock.RealClock{}, Hosts: options.APIHosts, Streams: streamsAgain, Domains: domainsAgain}
	if err := mgr.Add(poller); err != nil {
		return fmt.Errorf("adding the poller of CSS: %w", err)
	}
	scaler := &controllers.Scaler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}}
	if err := (&controllers.ScaleReconciler{Scaler: scaler, Changed: streamsAgain}).SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up the scale reconciler: %w", err)
	}
	progress := &controllers.ProgressPoller{
		Cache: mgr.GetCache(), Every: options.ProgressInterval, Streams: streamsAgain,
		// A Pod answers itself: nobody else's address is followed, and no proxy asked.
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if err := mgr.Add(progress); err != nil {
		return fmt.Errorf("adding the poller of workers: %w", err)
	}
	restarts := controllers.NewRestarts(clock.RealClock{}, streamsAgain)
	if err := mgr.Add(restarts); err != nil {
		return fmt.Errorf("adding the turns of Jobs that are made again: %w", err)
	}
	streams := &controllers.LiveStreamReconciler{
		Client: common.client, Live: mgr.GetAPIReader(), Secrets: common.secrets, Scaler: scaler, Truth: poller,
		Tell: notices.NewTeller(mgr.GetEventRecorder(eventSource), notices.Delay), Elected: mgr.Elected(), Written: common.written, Clock: clock.RealClock{}, Again: streamsAgain, Progress: progress, Restarts: restarts, WorkerImage: options.WorkerImage,
	}
	if err := streams.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up the LiveStream reconciler: %w", err)
	}
	known, err := index.StreamsOf(ctx, mgr.GetCache())
	if err != nil {
		return err
	}
	domains := &controllers.PushDomainReconciler{
		Client: common.client, Streams: known, Live: mgr.GetAPIReader(), Secrets: common.secrets, Truth: poller,
		Setup: &controllers.CallbackSetup{Poller: poller, Secrets: common.secrets, Clock: clock.RealClock{}}, Clock: clock.RealClock{}, Again: domainsAgain,
	}
	if err := domains.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the PushDomain reconciler: %w", err)
	}
	synced, err := watch(ctx, mgr, &v1alpha1.PushDomain{}, &v1alpha1.LiveStream{}, &batchv1.Job{}, &corev1.Pod{})
	if err != nil {
		return err
	}
	// A follower is ready, too: it can take over at once.
	if err := mgr.AddReadyzCheck("caches", synced); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return nil
}
