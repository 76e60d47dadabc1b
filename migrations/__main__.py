"""Alembic's command line for these migrations, wherever they are installed: `python -m migrations upgrade head`."""

from pathlib import Path

from alembic.config import CommandLine, Config


def main() -> None:
    """Run one command of Alembic. Exits with 2 for arguments that Alembic does not know."""
    command_line = CommandLine(prog="memory-layer-migrate")
    options = command_line.parser.parse_args()
    if not hasattr(options, "cmd"):
        command_line.parser.error("too few arguments")
    config = Config(ini_section=options.name, cmd_opts=options)
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    command_line.run_cmd(config, options)


if __name__ == "__main__":
    main()
