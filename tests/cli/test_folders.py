"""Where `tandem dev` keeps its files."""

from pathlib import Path

import pytest

from tandem_cli.dev.folders import data_dir, model_dir, user_data_dir

HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({}, "linux", "/home/ada/.local/share/tandem"),
        ({"XDG_DATA_HOME": ""}, "linux", "/home/ada/.local/share/tandem"),
        ({"XDG_DATA_HOME": "/srv/share"}, "linux", "/srv/share/tandem"),
        ({"XDG_DATA_HOME": "share"}, "linux", "/home/ada/.local/share/tandem"),
        ({"XDG_DATA_HOME": "/srv/share"}, "darwin", "/home/ada/Library/Application Support/tandem"),
    ],
)
def test_the_users_folder_is_that_of_the_platform(environment: dict[str, str], platform: str, expected: str) -> None:
    assert user_data_dir(environment, HOME, platform) == Path(expected)


@pytest.mark.parametrize(("folder", "name"), [(data_dir, "TANDEM_DATA_DIR"), (model_dir, "TANDEM_MODEL_DIR")])
def test_an_option_goes_before_the_variable_and_that_before_the_users_folder(folder: object, name: str) -> None:
    assert callable(folder)
    assert folder(Path("mine"), {name: "/srv/named"}, HOME) == Path("mine")
    assert folder(None, {name: "/srv/named"}, HOME) == Path("/srv/named")
    assert folder(None, {name: ""}, HOME).is_relative_to(user_data_dir({}, HOME))
    assert folder(None, {}, HOME).is_relative_to(user_data_dir({}, HOME))


def test_the_data_and_the_model_are_beside_each_other() -> None:
    assert data_dir(None, {}, HOME) == user_data_dir({}, HOME) / "data"
    assert model_dir(None, {}, HOME) == user_data_dir({}, HOME) / "models" / "all-MiniLM-L6-v2"
