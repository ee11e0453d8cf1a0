output "gateway_app" {
  description = "The app behind the tenant's door."
  value       = local.gateway_app
}

output "session_app" {
  description = "The app of its interviews' machines."
  value       = local.session_app
}

output "network" {
  description = "Its private network."
  value       = local.network
}

output "door" {
  description = "Where browsers reach it, unless operator.door_url says otherwise."
  value       = "https://${local.gateway_app}.fly.dev"
}

output "tenant_resource" {
  description = "Changes when the tenant is replaced."
  value       = terraform_data.tenant.id
}
