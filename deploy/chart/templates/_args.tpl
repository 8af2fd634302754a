{{/* The arguments that "gopherwood webhook" and "gopherwood fleet controller" have
in common: dict root, component, values. */}}
{{- define "gopherwood.args" -}}
- --log-level={{ .root.Values.logLevel }}
- --namespace=$(POD_NAMESPACE)
- --lease={{ include "gopherwood.fullname" .root }}-{{ .component }}
- --health=:{{ .values.healthPort }}
- --metrics=:{{ .values.metricsPort }}
- --fetches={{ .values.fetches }}
- --cache-dir=/var/cache/gopherwood
- --cache-size={{ .values.cacheSize }}
- --pull-secrets={{ .root.Values.pullSecrets.enabled }}
{{- if .root.Values.trust.keys }}
- --key=/etc/gopherwood/trust/keys.pem
{{- end }}
{{- range $registry, $mirrors := .root.Values.registries.mirrors }}
{{- range $mirrors }}
- {{ printf "--registry-mirror=%s=%s" $registry . | quote }}
{{- end }}
{{- end }}
{{- range .root.Values.registries.plainHTTP }}
- {{ printf "--plain-http-registry=%s" . | quote }}
{{- end }}
{{- end }}

{{/* The arguments of "gopherwood webhook": dict root, component, values. */}}
{{- define "gopherwood.webhookArgs" -}}
{{- $name := printf "%s-webhook" (include "gopherwood.fullname" .root) -}}
- webhook
{{ include "gopherwood.args" . }}
- --listen=:{{ .values.port }}
- --service={{ $name }}
- --drain-delay={{ .values.drainSeconds }}s
{{- if .root.Values.certificates.certManager.enabled }}
- --cert-dir=/var/run/gopherwood/certificate
{{- else }}
- --secret={{ $name }}-tls
- --cert-validity={{ .root.Values.certificates.validity }}
- --validating-config={{ $name }}
- --mutating-config={{ if .values.mutating }}{{ $name }}{{ end }}
{{- end }}
{{- range .values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* The arguments of "gopherwood fleet controller": dict root, component, values. */}}
{{- define "gopherwood.fleetArgs" -}}
- fleet
- controller
{{ include "gopherwood.args" . }}
- --reports={{ .values.reports }}
{{- range .values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end }}
