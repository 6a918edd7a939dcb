{{/* What the schema cannot say: values that contradict each other. Each message names the values. */}}
{{- define "tandem.validate" -}}
{{- $v := .Values -}}
{{- if $v.postgres.enabled -}}
{{- if and $v.postgres.existingSecret $v.postgres.storeUrl -}}
{{- fail "postgres.existingSecret and postgres.storeUrl exclude each other" -}}
{{- end -}}
{{- if not (or $v.postgres.existingSecret $v.postgres.storeUrl) -}}
{{- fail "postgres.enabled needs postgres.existingSecret or postgres.storeUrl" -}}
{{- end -}}
{{- $most := include "tandem.maxGateways" . -}}
{{- if and $v.gateway.autoscaling.enabled (gt (int $v.gateway.autoscaling.minReplicas) (int $most)) -}}
{{- fail (printf "gateway.autoscaling.minReplicas is %v, more than gateway.autoscaling.maxReplicas (%v)" $v.gateway.autoscaling.minReplicas $most) -}}
{{- end -}}
{{- $least := ternary $v.gateway.autoscaling.minReplicas $v.gateway.replicas $v.gateway.autoscaling.enabled -}}
{{- if and $v.gateway.disruptionBudget.enabled (ge (int $v.gateway.disruptionBudget.minAvailable) (int $least)) -}}
{{- fail (printf "gateway.disruptionBudget.minAvailable is %v of %v gateways: no node could be drained" $v.gateway.disruptionBudget.minAvailable $least) -}}
{{- end -}}
{{- else -}}
{{- range $name := list "existingSecret" "storeUrl" -}}
{{- if get $v.postgres $name -}}
{{- fail (printf "postgres.%s needs postgres.enabled" $name) -}}
{{- end -}}
{{- end -}}
{{- if $v.snapshots.url -}}
{{- fail "snapshots.url needs postgres.enabled: gateways share snapshots of a shared database" -}}
{{- end -}}
{{- end -}}
{{- range $name := list "embedderToken" "adminToken" -}}
{{- $token := get $v $name -}}
{{- if and $token.existingSecret $token.generate -}}
{{- fail (printf "%s.existingSecret and %s.generate exclude each other" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.embedder.autoscaling.enabled (gt (int $v.embedder.autoscaling.minReplicas) (int $v.embedder.autoscaling.maxReplicas)) -}}
{{- fail (printf "embedder.autoscaling.minReplicas is %v, more than embedder.autoscaling.maxReplicas (%v)" $v.embedder.autoscaling.minReplicas $v.embedder.autoscaling.maxReplicas) -}}
{{- end -}}
{{- if and $v.snapshots.existingClaim (not (hasPrefix "file://" $v.snapshots.url)) -}}
{{- fail "snapshots.existingClaim needs a snapshots.url that begins with file://" -}}
{{- end -}}
{{- range $name := list "region" "endpointUrl" "credentialsSecret" -}}
{{- if and (get $v.snapshots $name) (not (hasPrefix "s3://" $v.snapshots.url)) -}}
{{- fail (printf "snapshots.%s needs a snapshots.url that begins with s3://" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{- fail "ingress.enabled needs a name in ingress.hosts" -}}
{{- end -}}
{{- if and $v.canary.enabled (not (include "tandem.adminTokenSecret" .)) -}}
{{- fail "canary.enabled needs adminToken.existingSecret or adminToken.generate: without a token it gets no traffic" -}}
{{- end -}}
{{- $own := dict "gateway" (list "TANDEM_EMBEDDER_URL" "TANDEM_EMBEDDER_TOKEN" "TANDEM_SHUTDOWN_TIMEOUT_SECONDS" "TANDEM_API_KEY_FILE" "TANDEM_STORE_URL_FILE" (ternary "TANDEM_AUDIT_LOG" "" $v.postgres.enabled) "TANDEM_SNAPSHOT_URL" "AWS_REGION" "AWS_ENDPOINT_URL" "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "TANDEM_CANARY_URL" "TANDEM_ADMIN_TOKEN" "TANDEM_TLS_CERT_FILE" "TANDEM_TLS_KEY_FILE" "TANDEM_EMBEDDER_CA_FILE" "TANDEM_GATEWAY_PORT" "TANDEM_DATA_DIR" "TANDEM_API_KEY" "TANDEM_STORE_URL") "embedder" (list "TANDEM_EMBEDDER_TOKEN" "TANDEM_EMBEDDER_SHUTDOWN_TIMEOUT_SECONDS" "TANDEM_EMBEDDER_TLS_CERT_FILE" "TANDEM_EMBEDDER_TLS_KEY_FILE" "TANDEM_EMBEDDER_PORT") -}}
{{- range $service, $names := $own -}}
{{- $seen := dict -}}
{{- range $name, $_ := (get $v $service).settings -}}
{{- if has $name $names -}}
{{- fail (printf "%s.settings: %s is set by the chart" $service $name) -}}
{{- end -}}
{{- $_ := set $seen $name true -}}
{{- end -}}
{{- range (get $v $service).extraEnv -}}
{{- if has .name $names -}}
{{- fail (printf "%s.extraEnv: %s is set by the chart" $service .name) -}}
{{- end -}}
{{- if hasKey $seen .name -}}
{{- fail (printf "%s.extraEnv: %s is there twice, or also in %s.settings" $service .name $service) -}}
{{- end -}}
{{- $_ := set $seen .name true -}}
{{- end -}}
{{- end -}}
{{- end }}
