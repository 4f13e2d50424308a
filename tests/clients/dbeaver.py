"""What DBeaver asks about a PostgreSQL database, as its public sources put the statements together.

It has no way to run without a screen, so `capture` sends these through the proxy itself; those that
the server does not take, since they are of other versions, are left out there. Sources:
github.com/dbeaver/dbeaver, plugins/org.jkiss.dbeaver.ext.postgresql, model/Postgre*.java.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "sources of 2018 to 2023"
_BASE_TYPE: Final = "format_type(nullif(t.typbasetype, 0), t.typtypmod) as base_type_name"
_COLUMNS: Final = (
    "SELECT c.relname,a.*,pg_catalog.pg_get_expr(ad.adbin, ad.adrelid, true) as def_value,"
    "dsc.description,dep.objid\nFROM pg_catalog.pg_attribute a"
    "\nINNER JOIN pg_catalog.pg_class c ON (a.attrelid=c.oid)"
    "\nLEFT OUTER JOIN pg_catalog.pg_attrdef ad ON (a.attrelid=ad.adrelid AND a.attnum = ad.adnum)"
    "\nLEFT OUTER JOIN pg_catalog.pg_description dsc"
    " ON (c.oid=dsc.objoid AND a.attnum = dsc.objsubid)"
    "\nLEFT OUTER JOIN pg_depend dep on dep.refobjid = a.attrelid AND dep.deptype = 'i'"
    " and dep.refobjsubid = a.attnum and dep.classid = dep.refclassid"
    "\nWHERE NOT a.attisdropped AND"
)
_INDEXES: Final = (
    "SELECT i.*,i.indkey as keys,c.relname,c.relnamespace,c.relam,c.reltablespace,"
    "tc.relname as tabrelname,dsc.description,"
    "pg_catalog.pg_get_expr(i.indpred, i.indrelid) as pred_expr,"
    "pg_catalog.pg_get_expr(i.indexprs, i.indrelid, true) as expr,"
    "pg_catalog.pg_relation_size(i.indexrelid) as index_rel_size,"
    "pg_catalog.pg_stat_get_numscans(i.indexrelid) as index_num_scans"
    "\nFROM pg_catalog.pg_index i\nINNER JOIN pg_catalog.pg_class c ON c.oid=i.indexrelid"
    "\nINNER JOIN pg_catalog.pg_class tc ON tc.oid=i.indrelid"
    "\nLEFT OUTER JOIN pg_catalog.pg_description dsc ON i.indexrelid=dsc.objoid"
    "\nWHERE  c.relnamespace=$1 ORDER BY tabrelname, c.relname"
)
_TYPES: Final = (
    f"SELECT t.oid,t.*,c.relkind,{_BASE_TYPE}, d.description\nFROM pg_catalog.pg_type t"
    "\nLEFT OUTER JOIN pg_catalog.pg_type et ON et.oid=t.typelem "
    "\nLEFT OUTER JOIN pg_catalog.pg_class c ON c.oid=t.typrelid"
    "\nLEFT OUTER JOIN pg_catalog.pg_description d ON t.oid=d.objoid"
    "\nWHERE t.typname IS NOT NULL\nAND (c.relkind IS NULL OR c.relkind = 'c')"
    " AND (et.typcategory IS NULL OR et.typcategory <> 'C')"
)

STATEMENTS: Final = (
    "SET application_name = 'DBeaver 23.2.0 - Main <everything>'",
    "SELECT version()",
    "SELECT current_schema(),session_user",
    "SHOW search_path",
    "SELECT db.oid,db.* FROM pg_catalog.pg_database db WHERE datallowconn AND NOT datistemplate"
    " OR db.datname=$1\nORDER BY db.datname",
    "SELECT * FROM pg_catalog.pg_enum WHERE 1<>1 LIMIT 1",
    "SELECT reltype FROM pg_catalog.pg_class WHERE 1<>1 LIMIT 1",
    "SELECT typcategory FROM pg_catalog.pg_type WHERE 1<>1 LIMIT 1",
    "SELECT n.oid,n.*,d.description FROM pg_catalog.pg_namespace n\nLEFT OUTER JOIN"
    " pg_catalog.pg_description d ON d.objoid=n.oid AND d.objsubid=0"
    " AND d.classoid='pg_namespace'::regclass\n ORDER BY nspname",
    _TYPES,
    f"{_TYPES}\nAND t.typnamespace=$1 ",
    f"SELECT t.oid,t.*,c.relkind,{_BASE_TYPE} FROM pg_catalog.pg_type t"
    "\nLEFT OUTER JOIN pg_class c ON c.oid=t.typrelid\nWHERE t.oid=$1 ",
    "SELECT e.enumlabel\nFROM pg_catalog.pg_enum e\nWHERE e.enumtypid=$1\nORDER BY e.enumsortorder",
    "SELECT c.oid,c.*,d.description,pg_catalog.pg_get_expr(c.relpartbound, c.oid)"
    " as partition_expr,  pg_catalog.pg_get_partkeydef(c.oid) as partition_key \nFROM"
    " pg_catalog.pg_class c\nLEFT OUTER JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND"
    " d.objsubid=0 AND d.classoid='pg_class'::regclass\nWHERE c.relnamespace=$1 AND"
    " c.relkind not in ('i','I','c')",
    f"{_COLUMNS} c.relnamespace=$1 AND c.relkind not in ('i','I','c')\nORDER BY a.attnum",
    f"{_COLUMNS} c.oid=$1\nORDER BY a.attnum",
    "SELECT c.oid,c.*,t.relname as tabrelname,rt.relnamespace as refnamespace,d.description,"
    "case when c.contype='c' then \"substring\"(pg_get_constraintdef(c.oid), 7) else null end"
    " consrc_copy\nFROM pg_catalog.pg_constraint c\nINNER JOIN pg_catalog.pg_class t ON"
    " t.oid=c.conrelid\nLEFT OUTER JOIN pg_catalog.pg_class rt ON rt.oid=c.confrelid\nLEFT OUTER"
    " JOIN pg_catalog.pg_description d ON d.objoid=c.oid AND d.objsubid=0 AND"
    " d.classoid='pg_constraint'::regclass\nWHERE t.relnamespace=$1\nORDER BY c.oid",
    _INDEXES,
    "select pg_catalog.pg_get_indexdef($1, $2, true)",
    "SELECT p.oid as poid,p.*,pg_catalog.pg_get_expr(p.proargdefaults, 0) as arg_defaults,"
    "d.description\nFROM pg_catalog.pg_proc p\nLEFT OUTER JOIN pg_catalog.pg_description d ON"
    " d.objoid=p.oid AND d.objsubid = 0\nWHERE p.pronamespace=$1\nORDER BY p.proname",
    "SELECT pg_catalog.pg_get_functiondef($1)",
    "SELECT pg_catalog.pg_get_viewdef($1, true)",
    "SELECT x.oid,x.*,p.relname,pg_catalog.pg_get_triggerdef(x.oid) as definition"
    "\nFROM pg_catalog.pg_trigger x\nLEFT JOIN pg_catalog.pg_class p ON x.tgrelid=p.oid"
    "\nWHERE NOT x.tgisinternal AND x.tgrelid=$1",
    "SELECT r.oid,r.*,pg_catalog.pg_get_ruledef(r.oid) AS definition FROM"
    " pg_catalog.pg_rewrite r WHERE r.ev_class=$1 AND r.rulename <> '_RETURN'::name",
    "SELECT i.*,c.relnamespace FROM pg_catalog.pg_inherits i,pg_catalog.pg_class c"
    " WHERE i.inhrelid=$1 AND c.oid=i.inhparent ORDER BY i.inhseqno",
    'SELECT c.oid,c.*,i.inhrelid FROM "pg_catalog"."pg_class" c, "pg_catalog"."pg_inherits" i'
    " WHERE i.inhparent=$1 AND c.oid = i.inhrelid",
    "SELECT a.oid,a.*,pd.description FROM pg_catalog.pg_roles a\nleft join"
    " pg_catalog.pg_shdescription pd on a.oid = pd.objoid\nORDER BY a.rolname",
    "SELECT a.oid,a.* FROM pg_catalog.pg_roles a \nORDER BY a.oid",
    "SELECT am.oid,am.* FROM pg_catalog.pg_am am \nORDER BY am.oid",
    "SELECT c.contoencoding as encid,pg_catalog.pg_encoding_to_char(c.contoencoding) as encname\n"
    "FROM pg_catalog.pg_conversion c\nGROUP BY c.contoencoding\nORDER BY 2",
    "SELECT l.oid,l.* FROM pg_catalog.pg_language l \nORDER BY l.oid",
    "SELECT t.oid,t.*,pg_tablespace_location(t.oid) loc FROM pg_catalog.pg_tablespace t"
    " \nORDER BY t.oid",
    "SELECT c.oid,c.* FROM pg_catalog.pg_collation c ORDER BY c.oid",
    "SELECT l.oid,l.*,p.pronamespace as handler_schema_id \nFROM"
    " pg_catalog.pg_foreign_data_wrapper l\nLEFT OUTER JOIN pg_catalog.pg_proc p ON"
    " p.oid=l.fdwhandler \nORDER BY l.fdwname",
    "SELECT l.oid,l.* FROM pg_catalog.pg_foreign_server l\nORDER BY l.srvname",
    "SELECT e.oid, a.tables,  cfg.tbls,  n.nspname as schema_name, e.*\nFROM"
    " pg_catalog.pg_extension e\njoin pg_namespace n on n.oid =e.extnamespace\nleft join  (select"
    " ARRAY_AGG(ns.nspname || '.' ||  cls.relname) tables, dep.refobjid from pg_depend dep join"
    " pg_class cls on cls.oid = dep.objid join pg_namespace ns on ns.oid = cls.relnamespace"
    " group by dep.refobjid) a on a.refobjid = e.oid left join (select oid, array_agg(x) tbls"
    " from (select e.oid, unnest(extconfig) x from pg_extension e) t group by oid) cfg on"
    " cfg.oid = e.oid\nORDER BY e.oid",
    "SELECT name,default_version,installed_version,comment FROM"
    " pg_catalog.pg_available_extensions ORDER BY name",
    "SELECT ev.oid,ev.*,p.pronamespace as schema_id FROM pg_catalog.pg_event_trigger ev"
    "\nLEFT OUTER JOIN pg_catalog.pg_proc p ON p.oid=ev.evtfoid",
    "SELECT * FROM pg_catalog.pg_settings",
    "SELECT * FROM information_schema.table_privileges WHERE table_schema=$1 AND table_name=$2",
    "SELECT * FROM information_schema.role_table_grants WHERE grantee=$1",
    "SELECT * FROM pg_catalog.pg_sequences WHERE schemaname=$1 AND sequencename=$2",
    "SELECT a.attname,a.attacl FROM pg_catalog.pg_attribute a WHERE a.attrelid=$1 AND NOT"
    " a.attisdropped AND a.attacl IS NOT NULL",
    "SELECT * FROM pg_catalog.pg_policies WHERE schemaname=$1 AND tablename=$2",
    "SELECT pg_catalog.pg_total_relation_size($1),pg_catalog.pg_relation_size($1)",
    "SELECT pg_catalog.pg_database_size($1)",
    "SELECT c.oid,pg_catalog.pg_total_relation_size(c.oid) as total_rel_size,"
    "pg_catalog.pg_relation_size(c.oid) as rel_size\nFROM pg_class c\nWHERE c.relnamespace=$1",
    "SELECT relname, relnamespace, c.oid, refobjid, deptype FROM pg_catalog.pg_depend dep JOIN"
    " pg_catalog.pg_class c ON c.oid = dep.objid WHERE dep.refobjid=$1 ORDER BY dep.deptype",
    'SET search_path = "$user",sales',
    "SET search_path = sales,public,pg_temp",
    "SELECT * FROM sales.targets LIMIT 200",
    "EXPLAIN (FORMAT XML, VERBOSE ) SELECT * FROM sales.targets",
)
