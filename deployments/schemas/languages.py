"""Request and answer types of a tenant's language."""

from pydantic import ConfigDict, Field, JsonValue

from deployments.schemas.messages import Flag, LanguageCode, Value

LANGUAGE_EXAMPLE: dict[str, JsonValue] = {"language": "de", "detect": False}


class OwnLanguage(Value):
    """A tenant's own language, and whether the language of each message is detected."""

    model_config = ConfigDict(json_schema_extra={"examples": [LANGUAGE_EXAMPLE]})

    language: LanguageCode
    detect: Flag = Field(default=False, description="Detect the language of each message that names none.")


class TenantLanguage(Value):
    """The effective language of a tenant."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"tenant_id": "acme", **LANGUAGE_EXAMPLE, "reanalyzing": True, "default": False}]
        }
    )

    tenant_id: str
    language: str
    detect: bool
    reanalyzing: bool = Field(
        description="Its messages are being analysed anew. Meanwhile they are found by the former language, too."
    )
    default: bool = Field(description="Nothing was set for this tenant: the service's settings hold.")
