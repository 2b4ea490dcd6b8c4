"""How iMSG's services open their databases; their tables, migrations and queries are their own."""
