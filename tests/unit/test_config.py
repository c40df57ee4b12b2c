"""One frozen Settings value: the file, then the environment, then what a command says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from node.config import Settings, load_settings
from node.errors import ConfigurationError

PACS = """
[[destination]]
name = "pacs"
protocol = "dimse"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = 4242
"""


@pytest.fixture
def a_file(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def test_without_a_file_the_contracts_defaults_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert (settings.node.ae_title, settings.node.port) == ("CRDL", 11112)
    assert settings.database_url == "sqlite:///data/node.db"
    assert settings.model.bundle == "simulated"
    assert settings.pairing.grace_s == 3
    assert settings.report.companions == ("sc",)


def test_a_file_in_the_working_folder_is_read(
    a_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_file.write_text('[node]\nae_title = "HERE"\n')
    monkeypatch.chdir(a_file.parent)
    assert load_settings().node.ae_title == "HERE"


def test_the_environment_overrides_the_file(a_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file.write_text("[node]\nport = 104\n" + PACS)
    monkeypatch.setenv("CRDL_NODE__PORT", "11113")
    monkeypatch.setenv("CRDL_NODE__CALLING_AE_TITLES", '["US1", "US2"]')
    settings = load_settings(a_file)
    assert settings.node.port == 11113
    assert settings.node.calling_ae_titles == ("US1", "US2")
    assert settings.destination[0].port == 4242


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[node]\nport = 70000\n", "node.port"),
        ("[node]\nprot = 1\n", "node.prot"),
        ("[model]\nprevalence = 1.5\n", "prevalence"),
        ('[model]\ndevice = "gpu"\n', "model.device"),
        ('[tls]\ncertificate = "a.pem"\n', "together"),
        ('[[destination]]\nname = "x"\n', "ae_title, host and port"),
        ('[[destination]]\nname = "x"\nprotocol = "dicomweb"\n', "url"),
        (PACS + PACS, "same name"),
        ("[node\n", "node.toml"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_it(a_file: Path, text: str, said: str) -> None:
    a_file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(a_file)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no configuration file"):
        load_settings(tmp_path / "absent.toml")


def test_settings_cannot_be_changed(a_file: Path) -> None:
    a_file.write_text("")
    settings: Settings = load_settings(a_file)
    with pytest.raises(ValidationError):
        settings.node.port = 1  # type: ignore[misc]


def test_empty_tls_paths_mean_none(a_file: Path) -> None:
    a_file.write_text('[tls]\ncertificate = ""\nkey = ""\nca = ""\n')
    assert load_settings(a_file).tls.certificate is None


def test_the_example_configuration_is_valid() -> None:
    example = Path(__file__).parents[2] / "deploy" / "node.example.toml"
    settings = load_settings(example)
    assert settings.destination[0].name == "pacs"
    assert settings.node.calling_ae_titles == ("PACS",)


def test_the_readme_names_every_section_and_key() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for section, field in Settings.model_fields.items():
        assert f"[{section}]" in readme, section
        model = field.annotation
        for key in getattr(model, "model_fields", {}):
            assert f"`{key}" in readme, f"{section}.{key}"
