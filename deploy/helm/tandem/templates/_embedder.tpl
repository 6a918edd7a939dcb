{{/* A pool of embedders: dict "root" $ "pool" "stable" or "canary". They differ in the pool, the image and who scales them. */}}
{{- define "tandem.embedderDeployment" -}}
{{- $values := .root.Values.embedder -}}
{{- $canary := eq .pool "canary" -}}
{{- $selector := printf "%s\ntandem/pool: %s" (include "tandem.selector" (dict "root" .root "service" "embedder")) .pool -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "tandem.embedder" .root }}{{ if $canary }}-canary{{ end }}
  labels:
    {{- include "tandem.labels" (dict "root" .root "service" "embedder") | nindent 4 }}
    tandem/pool: {{ .pool }}
spec:
  {{- if $canary }}
  replicas: {{ .root.Values.canary.replicas }}
  {{- else if not $values.autoscaling.enabled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
  strategy:
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  template:
    metadata:
      labels:
        {{- $selector | nindent 8 }}
        app.kubernetes.io/part-of: tandem
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ include "tandem.embedder" .root }}
      automountServiceAccountToken: false
      # The variables that Kubernetes makes of Services must not be taken for settings.
      enableServiceLinks: false
      # More than preStop (15) and TANDEM_EMBEDDER_SHUTDOWN_TIMEOUT_SECONDS (20) together.
      terminationGracePeriodSeconds: 45
      securityContext:
        runAsNonRoot: true
        runAsUser: 10001
        runAsGroup: 10001
        {{- if $values.tlsSecret }}
        # It reads the certificate's key.
        fsGroup: 10001
        {{- end }}
        seccompProfile:
          type: RuntimeDefault
      {{- include "tandem.spread" $selector | nindent 6 }}
      {{- include "tandem.placement" (dict "root" .root "values" $values) | nindent 6 }}
      containers:
        - name: embedder
          image: {{ if $canary }}{{ include "tandem.canaryImage" .root }}{{ else }}{{ include "tandem.image" (dict "root" .root "image" $values.image) }}{{ end }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          env:
            {{- with include "tandem.embedderTokenSecret" .root }}
            {{- include "tandem.secretVariable" (dict "name" "TANDEM_EMBEDDER_TOKEN" "secret" . "key" $.root.Values.embedderToken.key) | nindent 12 }}
            {{- end }}
            - name: TANDEM_EMBEDDER_SHUTDOWN_TIMEOUT_SECONDS
              value: "20"
            {{- if $values.tlsSecret }}
            - name: TANDEM_EMBEDDER_TLS_CERT_FILE
              value: /etc/tandem/tls/tls.crt
            - name: TANDEM_EMBEDDER_TLS_KEY_FILE
              value: /etc/tandem/tls/tls.key
            {{- end }}
            {{- include "tandem.settings" $values.settings | nindent 12 }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - name: http
              containerPort: 8080
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "tandem.containerSecurity" . | nindent 12 }}
          {{- include "tandem.probes" (dict "scheme" (ternary "HTTPS" "HTTP" (ne $values.tlsSecret "")) "startFailures" 60) | nindent 10 }}
          lifecycle:
            preStop:
              # It goes on serving until the gateway no longer finds its address in the name.
              sleep:
                seconds: 15
          {{- if or $values.tlsSecret $values.extraVolumeMounts }}
          volumeMounts:
            {{- if $values.tlsSecret }}
            - name: tls
              mountPath: /etc/tandem/tls
              readOnly: true
            {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          {{- end }}
      {{- if or $values.tlsSecret $values.extraVolumes }}
      volumes:
        {{- with $values.tlsSecret }}
        - name: tls
          secret:
            secretName: {{ . }}
            defaultMode: 0440
        {{- end }}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
{{- end }}

{{/* Headless: the name has the address of each ready replica, and the gateway balances over them. */}}
{{- define "tandem.embedderService" -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "tandem.embedder" .root }}{{ if eq .pool "canary" }}-canary{{ end }}
  labels:
    {{- include "tandem.labels" (dict "root" .root "service" "embedder") | nindent 4 }}
spec:
  clusterIP: None
  selector:
    {{- include "tandem.selector" (dict "root" .root "service" "embedder") | nindent 4 }}
    tandem/pool: {{ .pool }}
  ports:
    - name: http
      port: 8080
      targetPort: http
{{- end }}
