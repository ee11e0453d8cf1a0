# One tenant of interview-runtime on Fly. Fly has no maintained Terraform provider that knows
# private networks, so this is a thin cover over the operator's own command, which is idempotent
# and finishes what was cut off. Machines of interviews are not in here: they come and go by
# themselves.

terraform {
  required_version = ">= 1.6"
}

locals {
  gateway_app = "interviews-${var.tenant}"
  session_app = "interviews-${var.tenant}-s"
  network     = "tenant-${var.tenant}"

  # Every part is quoted for the shell; the checks of the variables leave nothing to quote but spaces.
  binary = "'${var.binary}'${var.config_file == "" ? "" : " --config '${var.config_file}'"} tenant"
  create = "${local.binary} create ${var.tenant} --id ${var.tenant_id} --name '${var.tenant_name}' --region '${var.region}' --image '${var.image}'"
}

# Secrets are never in here: the command reads them from the environment (FLY_API_TOKEN,
# INTERVIEW__…) or from its configuration file. Terraform's state holds none.
resource "terraform_data" "tenant" {
  input = {
    tenant  = var.tenant
    destroy = "${local.binary} destroy ${var.tenant} --yes ${var.tenant}"
  }

  # A tenant's name, id and place never change; another one is another tenant.
  triggers_replace = [var.tenant, var.tenant_id, var.region]

  provisioner "local-exec" {
    command = local.create
  }

  provisioner "local-exec" {
    when    = destroy
    command = self.input.destroy
  }
}

# Another digest replaces the gateways one after another; interviews under way keep theirs.
resource "terraform_data" "release" {
  depends_on       = [terraform_data.tenant]
  triggers_replace = [var.image]

  provisioner "local-exec" {
    command = "${local.binary} upgrade ${var.tenant} --image '${var.image}'"
  }
}

# Another number here rotates the tenant's secrets, once. The first one is what `create` has made.
resource "terraform_data" "secrets" {
  depends_on       = [terraform_data.release]
  triggers_replace = [var.secrets_rotation]

  provisioner "local-exec" {
    command = var.secrets_rotation == 0 ? "true" : "${local.binary} rotate-secrets ${var.tenant} --routing --token --provider"
  }
}
