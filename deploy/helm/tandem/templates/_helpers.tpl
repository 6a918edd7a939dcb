{{/* Names are cut so that the longest suffix, "-embedder-canary", fits in 63 characters, and a StatefulSet's in 52. */}}
{{- define "tandem.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "tandem" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-tandem" (.Release.Name | trunc 33 | trimSuffix "-") -}}
{{- end -}}
{{- end }}

{{- define "tandem.gateway" -}}
{{ include "tandem.fullname" . }}-gateway
{{- end }}

{{- define "tandem.embedder" -}}
{{ include "tandem.fullname" . }}-embedder
{{- end }}

{{/* Labels of an object that belongs to no service, or to one: dict "root" $ "service" "gateway". */}}
{{- define "tandem.labels" -}}
{{ if .service -}}
app.kubernetes.io/name: tandem-{{ .service }}
{{ end -}}
app.kubernetes.io/part-of: tandem
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What selects the pods of a service: dict "root" $ "service" "gateway". */}}
{{- define "tandem.selector" -}}
app.kubernetes.io/name: tandem-{{ .service }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* An image: dict "root" $ "image" values of the image. */}}
{{- define "tandem.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The canary's image: what it does not name is the embedder's. */}}
{{- define "tandem.canaryImage" -}}
{{- $own := .Values.canary.image -}}
{{- $embedder := .Values.embedder.image -}}
{{- $digest := $own.digest -}}
{{- if not (or $own.digest $own.tag $own.repository) -}}{{- $digest = $embedder.digest -}}{{- end -}}
{{- $image := dict "repository" ($own.repository | default $embedder.repository) "tag" ($own.tag | default $embedder.tag) "digest" $digest -}}
{{- include "tandem.image" (dict "root" . "image" $image) -}}
{{- end }}

{{/* Names of Secrets; empty if there is none. */}}
{{- define "tandem.apiKeySecret" -}}
{{ .Values.apiKey.existingSecret | default (printf "%s-api-key" (include "tandem.gateway" .)) }}
{{- end }}

{{- define "tandem.embedderTokenSecret" -}}
{{- if .Values.embedderToken.existingSecret -}}
{{ .Values.embedderToken.existingSecret }}
{{- else if .Values.embedderToken.generate -}}
{{ include "tandem.embedder" . }}-token
{{- end -}}
{{- end }}

{{- define "tandem.adminTokenSecret" -}}
{{- if .Values.adminToken.existingSecret -}}
{{ .Values.adminToken.existingSecret }}
{{- else if .Values.adminToken.generate -}}
{{ include "tandem.gateway" . }}-admin
{{- end -}}
{{- end }}

{{- define "tandem.snapshotsClaim" -}}
{{ .Values.snapshots.existingClaim | default (printf "%s-snapshots" (include "tandem.gateway" .)) }}
{{- end }}

{{/* Most gateways of the autoscaler: they and one more take 96 connections of the database, or 85 with shared snapshots. */}}
{{- define "tandem.maxGateways" -}}
{{ .Values.gateway.autoscaling.maxReplicas | default (ternary 4 5 (ne .Values.snapshots.url "")) }}
{{- end }}

{{- define "tandem.storeSecret" -}}
{{ .Values.postgres.existingSecret | default (printf "%s-store" (include "tandem.gateway" .)) }}
{{- end }}

{{/* A Secret with a random value that stays at upgrades: dict "root" $ "name" "key" "service". */}}
{{- define "tandem.generatedSecret" -}}
{{- $there := (lookup "v1" "Secret" .root.Release.Namespace .name).data | default dict -}}
apiVersion: v1
kind: Secret
metadata:
  name: {{ .name }}
  labels:
    {{- include "tandem.labels" . | nindent 4 }}
type: Opaque
data:
  {{ .key }}: {{ get $there .key | default (randAlphaNum 48 | b64enc) }}
{{- end }}

{{/* A variable from a Secret: dict "name" "secret" "key". */}}
{{- define "tandem.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end }}

{{/* Variables of `settings`, whose numbers and booleans become text. */}}
{{- define "tandem.settings" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  {{- /* A large number of YAML is a float, which would be written as 1e+06. */}}
  value: {{ if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ $value | int64 | toString | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end }}

{{- define "tandem.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end }}

{{/* Probes: dict "scheme" "startFailures". /readyz asks neither embedders nor a database: while they are away, pods stay. */}}
{{- define "tandem.probes" -}}
# It listens before a model or an index is loaded, which takes as long as there is data.
startupProbe:
  httpGet:
    path: /livez
    port: http
    {{- if ne .scheme "HTTP" }}
    scheme: {{ .scheme }}
    {{- end }}
  periodSeconds: 1
  failureThreshold: {{ .startFailures }}
livenessProbe:
  httpGet:
    path: /livez
    port: http
    {{- if ne .scheme "HTTP" }}
    scheme: {{ .scheme }}
    {{- end }}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
# Not /healthz: a gateway without an embedder still takes documents.
readinessProbe:
  httpGet:
    path: /readyz
    port: http
    {{- if ne .scheme "HTTP" }}
    scheme: {{ .scheme }}
    {{- end }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{/* Spread over zones and nodes; the argument is the selector of the pods. */}}
{{- define "tandem.spread" -}}
topologySpreadConstraints:
{{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $ | nindent 8 }}
    matchLabelKeys:
      - pod-template-hash
{{- end }}
{{- end }}

{{/* Where pods run, and what pulls their images: dict "root" $ "values" of the service. */}}
{{- define "tandem.placement" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
