// Package controllers reconciles LiveStreams and PushDomains.
//
// A pass reads observe, plan, apply, report; what is decided is decided in internal/plan. Importable only because of the
// folder's name: there is no promise of compatibility for this package.
package controllers
