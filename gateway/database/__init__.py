"""The database: connection, tables, migrations, cursors, encryption and secrets of rows."""
