{{/* The gateway's pod, of the StatefulSet and of the Deployment alike. */}}
{{- define "tandem.gatewayPod" -}}
{{- $shared := .Values.postgres.enabled -}}
{{- $selector := include "tandem.selector" (dict "root" . "service" "gateway") -}}
{{- $scheme := ternary "https" "http" (ne .Values.embedder.tlsSecret "") -}}
metadata:
  labels:
    {{- $selector | nindent 4 }}
    app.kubernetes.io/part-of: tandem
    {{- with .Values.gateway.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- $checksums := include "tandem.storeChecksum" . }}
  {{- if or .Values.gateway.podAnnotations $checksums }}
  annotations:
    {{- with $checksums }}
    {{- . | nindent 4 }}
    {{- end }}
    {{- with .Values.gateway.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tandem.gateway" . }}
  automountServiceAccountToken: false
  # A Service named tandem-gateway would set TANDEM_GATEWAY_PORT to a URL.
  enableServiceLinks: false
  # More than preStop (5) and TANDEM_SHUTDOWN_TIMEOUT_SECONDS (20) together, and time to close the store.
  terminationGracePeriodSeconds: 60
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- if $shared }}
  {{- include "tandem.spread" $selector | nindent 2 }}
  {{- end }}
  {{- include "tandem.placement" (dict "root" . "values" .Values.gateway) | nindent 2 }}
  containers:
    - name: gateway
      image: {{ include "tandem.image" (dict "root" . "image" .Values.gateway.image) }}
      imagePullPolicy: {{ .Values.gateway.image.pullPolicy }}
      # No TANDEM_ALLOWED_HOSTS: probes and Prometheus call the pod by its address. Browsers reach it through the ingress
      # alone, whose rules name the hosts.
      env:
        - name: TANDEM_EMBEDDER_URL
          value: {{ $scheme }}://{{ include "tandem.embedder" . }}:8080
        {{- with include "tandem.embedderTokenSecret" . }}
        {{- include "tandem.secretVariable" (dict "name" "TANDEM_EMBEDDER_TOKEN" "secret" . "key" $.Values.embedderToken.key) | nindent 8 }}
        {{- end }}
        - name: TANDEM_SHUTDOWN_TIMEOUT_SECONDS
          value: "20"
        - name: TANDEM_API_KEY_FILE
          value: /etc/tandem/api-key/key
        {{- if $shared }}
        - name: TANDEM_STORE_URL_FILE
          value: /etc/tandem/store/url
        # The data directory goes with the pod; the lines of the audit log do not.
        - name: TANDEM_AUDIT_LOG
          value: stdout
        {{- end }}
        {{- with .Values.snapshots.url }}
        - name: TANDEM_SNAPSHOT_URL
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.snapshots.region }}
        - name: AWS_REGION
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.snapshots.endpointUrl }}
        - name: AWS_ENDPOINT_URL
          value: {{ . | quote }}
        {{- end }}
        {{- with .Values.snapshots.credentialsSecret }}
        {{- include "tandem.secretVariable" (dict "name" "AWS_ACCESS_KEY_ID" "secret" . "key" "access-key-id") | nindent 8 }}
        {{- include "tandem.secretVariable" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" . "key" "secret-access-key") | nindent 8 }}
        {{- end }}
        {{- if .Values.canary.enabled }}
        - name: TANDEM_CANARY_URL
          value: {{ $scheme }}://{{ include "tandem.embedder" . }}-canary:8080
        {{- end }}
        {{- with include "tandem.adminTokenSecret" . }}
        {{- include "tandem.secretVariable" (dict "name" "TANDEM_ADMIN_TOKEN" "secret" . "key" $.Values.adminToken.key) | nindent 8 }}
        {{- end }}
        {{- if .Values.gateway.tlsSecret }}
        - name: TANDEM_TLS_CERT_FILE
          value: /etc/tandem/tls/tls.crt
        - name: TANDEM_TLS_KEY_FILE
          value: /etc/tandem/tls/tls.key
        {{- end }}
        {{- if .Values.embedder.tlsSecret }}
        - name: TANDEM_EMBEDDER_CA_FILE
          value: /etc/tandem/embedder-ca/ca.crt
        {{- end }}
        {{- include "tandem.settings" .Values.gateway.settings | nindent 8 }}
        {{- with .Values.gateway.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: 8000
      resources:
        {{- toYaml .Values.gateway.resources | nindent 8 }}
      securityContext:
        {{- include "tandem.containerSecurity" . | nindent 8 }}
      {{- $probes := dict "scheme" (ternary "HTTPS" "HTTP" (ne .Values.gateway.tlsSecret "")) "startFailures" (ternary 300 60 $shared) }}
      {{- include "tandem.probes" $probes | nindent 6 }}
      lifecycle:
        preStop:
          # Until no new connection is sent to it.
          sleep:
            seconds: 5
      volumeMounts:
        - name: data
          mountPath: /var/lib/tandem
        - name: tmp
          mountPath: /tmp
        - name: api-key
          mountPath: /etc/tandem/api-key
          readOnly: true
        {{- if $shared }}
        - name: store
          mountPath: /etc/tandem/store
          readOnly: true
        {{- end }}
        {{- if hasPrefix "file://" .Values.snapshots.url }}
        - name: snapshots
          mountPath: {{ trimPrefix "file://" .Values.snapshots.url }}
        {{- end }}
        {{- if .Values.gateway.tlsSecret }}
        - name: tls
          mountPath: /etc/tandem/tls
          readOnly: true
        {{- end }}
        {{- if .Values.embedder.tlsSecret }}
        - name: embedder-ca
          mountPath: /etc/tandem/embedder-ca
          readOnly: true
        {{- end }}
        {{- with .Values.gateway.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    {{- if $shared }}
    # Caches of the indexes and of the keyword index. A pod that needs more is evicted.
    - name: data
      emptyDir:
        sizeLimit: {{ .Values.gateway.cacheSizeLimit }}
    {{- end }}
    - name: api-key
      secret:
        secretName: {{ include "tandem.apiKeySecret" . }}
        defaultMode: 0440
        {{- if ne .Values.apiKey.key "key" }}
        items:
          - key: {{ .Values.apiKey.key }}
            path: key
        {{- end }}
    {{- if $shared }}
    - name: store
      secret:
        secretName: {{ include "tandem.storeSecret" . }}
        defaultMode: 0440
        {{- if and .Values.postgres.existingSecret (ne .Values.postgres.key "url") }}
        items:
          - key: {{ .Values.postgres.key }}
            path: url
        {{- end }}
    {{- end }}
    {{- if hasPrefix "file://" .Values.snapshots.url }}
    # User 10001 has to be able to write to it: by the pod's fsGroup, or by the owner of the exported folder.
    - name: snapshots
      persistentVolumeClaim:
        claimName: {{ include "tandem.snapshotsClaim" . }}
    {{- end }}
    {{- with .Values.gateway.tlsSecret }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.embedder.tlsSecret }}
    # Its certificate alone: the embedders' key stays with them.
    - name: embedder-ca
      secret:
        secretName: {{ . }}
        defaultMode: 0440
        items:
          - key: ca.crt
            path: ca.crt
    {{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: 64Mi
    {{- with .Values.gateway.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/* Pods start anew when the URL in the chart's own Secret changes: it is read at the start. */}}
{{- define "tandem.storeChecksum" -}}
{{- with .Values.postgres.storeUrl -}}
checksum/store: {{ sha256sum . }}
{{- end -}}
{{- end }}
