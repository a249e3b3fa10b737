{{/* Labels that select the operator's pods; they never change. */}}
{{- define "sky.selector" -}}
app.kubernetes.io/name: sky-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of everything but the five kinds and the namespace. */}}
{{- define "sky.labels" -}}
{{ include "sky.selector" . }}
app.kubernetes.io/part-of: sky-manager
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/*
Annotations of what stays when the release goes. Argo CD heeds Helm's when an Application is deleted, but not when a commit
leaves the object out. The five kinds need no more than Helm's: Argo CD never removes a CustomResourceDefinition.
*/}}
{{- define "sky.keep" -}}
helm.sh/resource-policy: keep
argocd.argoproj.io/sync-options: Prune=false
argocd.argoproj.io/compare-options: IgnoreExtraneous
{{- end }}

{{/* The operator's image, by digest if there is one. */}}
{{- define "sky.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* What no schema can say. */}}
{{- define "sky.check" -}}
{{- $lease := .Values.leaderElection }}
{{- if and (gt (int .Values.replicas) 1) (not $lease.enabled) }}
{{- fail (printf "replicas is %d, but leaderElection.enabled is false: more than one operator would act at once; set replicas to 1 or leaderElection.enabled to true" (int .Values.replicas)) }}
{{- end }}
{{- if and $lease.enabled (le (int $lease.leaseDurationSeconds) (int $lease.renewDeadlineSeconds)) }}
{{- fail (printf "leaderElection.renewDeadlineSeconds is %d: it has to be less than leaderElection.leaseDurationSeconds, which is %d" (int $lease.renewDeadlineSeconds) (int $lease.leaseDurationSeconds)) }}
{{- end }}
{{- if and $lease.enabled (le (int $lease.renewDeadlineSeconds) (int $lease.retryPeriodSeconds)) }}
{{- fail (printf "leaderElection.retryPeriodSeconds is %d: it has to be less than leaderElection.renewDeadlineSeconds, which is %d" (int $lease.retryPeriodSeconds) (int $lease.renewDeadlineSeconds)) }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) }}
{{- fail "metrics.serviceMonitor.enabled is true, but metrics.service.enabled is false: a ServiceMonitor scrapes the Service; enable it too" }}
{{- end }}
{{- end }}

{{/* The configuration file. */}}
{{- define "sky.configuration" -}}
apiVersion: config.skymanager.io/v1alpha1
kind: OperatorConfiguration
{{ toYaml .Values.configuration }}
{{- end }}

{{/* Security of every container: nothing but its own memory. */}}
{{- define "sky.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "sky.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* Reading all that people look at. ControllerRevisions are what `kubectl sky rollout` shows. */}}
{{- define "sky.reading" -}}
- apiGroups: [skymanager.io]
  resources: [skyclusters, skyjobs, skydeployments, skynamespaces, filterpolicies]
  verbs: [get, list, watch]
- apiGroups: [apps]
  resources: [controllerrevisions]
  verbs: [get, list, watch]
{{- end }}

{{/* Annotations of what `helm test` makes. The pod stays, for its log; the rest goes when it succeeded. */}}
{{- define "sky.test" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation{{ if ne . "0" }},hook-succeeded{{ end }}
{{- end }}
