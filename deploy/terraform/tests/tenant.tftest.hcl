# The program is replaced by `echo`: what would be run is in Terraform's own log. The real one is
# tested against the sandbox (tests/it/tenant.rs).
variables {
  tenant      = "acme"
  tenant_id   = "0d3e8d2c-7c1b-4b8e-9f0a-5b1f6a2c0001"
  tenant_name = "Acme & Sons"
  image       = "registry.fly.io/interview-runtime@sha256:aa"
  binary      = "echo"
}

run "makes_a_tenant" {
  assert {
    condition     = output.gateway_app == "interviews-acme" && output.session_app == "interviews-acme-s" && output.network == "tenant-acme"
    error_message = "The names are not those that the command uses."
  }
  assert {
    condition     = terraform_data.tenant.input.destroy == "'echo' tenant destroy acme --yes acme"
    error_message = "A tenant is destroyed by its name."
  }
}

run "another_image_replaces_the_release_and_not_the_tenant" {
  variables {
    image = "registry.fly.io/interview-runtime@sha256:bb"
  }
  assert {
    condition     = terraform_data.tenant.id == run.makes_a_tenant.tenant_resource
    error_message = "The tenant was replaced."
  }
}

run "refuses_a_name_of_a_session_app" {
  command = plan
  variables {
    tenant = "acme-s"
  }
  expect_failures = [var.tenant]
}

run "refuses_an_image_by_tag" {
  command = plan
  variables {
    image = "registry.fly.io/interview-runtime:latest"
  }
  expect_failures = [var.image]
}

run "refuses_what_a_shell_would_read" {
  command = plan
  variables {
    tenant_name = "Acme'; rm -rf ~"
    region      = "iad; ls"
    binary      = "x' y"
  }
  expect_failures = [var.tenant_name, var.region, var.binary]
}
