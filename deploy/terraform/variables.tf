variable "tenant" {
  description = "Short name: part of the apps' names, never changed."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,39}[a-z0-9])?$", var.tenant)) && !endswith(var.tenant, "-s")
    error_message = "1 to 41 lower-case letters, digits and dashes, not at its ends, and no -s at the end: that is the session app's."
  }
}

variable "tenant_id" {
  description = "The tenant's UUID, as sign-in tokens carry it."
  type        = string

  validation {
    condition     = can(regex("^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$", var.tenant_id))
    error_message = "A UUID in lower case."
  }
}

variable "tenant_name" {
  description = "As people read it."
  type        = string

  validation {
    condition     = can(regex("^[[:alnum:]][[:alnum:] .&-]{0,99}$", var.tenant_name))
    error_message = "1 to 100 letters, digits, spaces, dots, dashes and ampersands."
  }
}

variable "region" {
  description = "Where the tenant's machines are: a Fly region, or a list by preference."
  type        = string
  default     = "iad"

  validation {
    condition     = can(regex("^[a-z]{2,4}(,[a-z]{2,4})*$", var.region))
    error_message = "A Fly region such as iad, or a list such as iad,us,any."
  }
}

variable "image" {
  description = "The runtime's image, by digest."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9./:_-]+@sha256:[0-9a-f]+$", var.image))
    error_message = "Pinned by digest: registry.fly.io/interview-runtime@sha256:…"
  }
}

variable "secrets_rotation" {
  description = "Count it up to rotate the tenant's secrets."
  type        = number
  default     = 0
}

variable "binary" {
  description = "The interview-runtime program."
  type        = string
  default     = "interview-runtime"

  validation {
    condition     = !strcontains(var.binary, "'")
    error_message = "A path without quotes."
  }
}

variable "config_file" {
  description = "The operator's configuration (TOML); empty: the environment alone."
  type        = string
  default     = ""

  validation {
    condition     = !strcontains(var.config_file, "'")
    error_message = "A path without quotes."
  }
}
