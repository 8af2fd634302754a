{{/* These templates use only the functions of internal/kube/chart: include,
required, fail, quote, default, trunc, trimSuffix, contains, toYaml, fromYaml,
indent, nindent, list, dict, set, append, has, int. A test holds them to it. */}}

{{/* The beginning of all names. */}}
{{- define "gopherwood.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The labels that select pods of a component: dict root, component. */}}
{{- define "gopherwood.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component | quote }}
{{- end }}

{{/* The labels of every object: dict root, component. */}}
{{- define "gopherwood.labels" -}}
{{ include "gopherwood.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: gopherwood
app.kubernetes.io/managed-by: {{ .root.Release.Service | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | quote }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "gopherwood.image" -}}
{{- $image := .Values.image }}
{{- $repository := required "image.repository must name the image" $image.repository }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* What every container may do: nothing. */}}
{{- define "gopherwood.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "gopherwood.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The environment of every container: dict root, values (of the component). */}}
{{- define "gopherwood.env" -}}
- {name: GOMEMLIMIT, value: {{ .values.goMemLimit | quote }}}
- {name: GOGC, value: {{ .values.goGC | quote }}}
- {name: TMPDIR, value: /var/cache/gopherwood}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
{{- with .root.Values.tracing.endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with .values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The rules that read pull secrets, for a ClusterRole or for Roles. */}}
{{- define "gopherwood.pullSecretRules" -}}
- apiGroups: [""]
  resources: [secrets, serviceaccounts]
  verbs: [get]
{{- end }}

{{/* Where a selector of namespaces leaves what is exempt. */}}
{{- define "gopherwood.namespaceSelector" -}}
matchExpressions:
  - key: kubernetes.io/metadata.name
    operator: NotIn
    values:
      {{- if not (has .Release.Namespace .Values.webhook.exemptNamespaces) }}
      - {{ .Release.Namespace | quote }}
      {{- end }}
      {{- range .Values.webhook.exemptNamespaces }}
      - {{ . | quote }}
      {{- end }}
  {{- with .Values.webhook.namespaceExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The service account of a component, for bindings: dict root, component. */}}
{{- define "gopherwood.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "gopherwood.fullname" .root }}-{{ .component }}
    namespace: {{ .root.Release.Namespace }}
{{- end }}
