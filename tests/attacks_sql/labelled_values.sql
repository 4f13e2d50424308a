SELECT ssn AS note FROM customers
SELECT ssn AS name FROM customers
SELECT ssn AS "U&x" FROM customers
SELECT ssn||'' FROM customers
SELECT left(ssn,3), right(ssn,8) FROM customers
SELECT overlay(ssn placing 'x' from 1 for 0) FROM customers
SELECT split_part(ssn,'-',1),split_part(ssn,'-',2),split_part(ssn,'-',3) FROM customers
SELECT format('%s',ssn) FROM customers
SELECT concat_ws('',ssn) FROM customers
SELECT translate(ssn,'0123456789','abcdefghij') FROM customers
SELECT reverse(ssn) FROM customers
SELECT encode(ssn::bytea,'hex'),encode(ssn::bytea,'base64') FROM customers
SELECT md5(ssn), sha256(ssn::bytea) FROM customers
SELECT ascii(ssn) FROM customers
SELECT quote_literal(ssn), to_json(ssn) FROM customers
SELECT ssn::name, ssn::bytea, ssn::"char" FROM customers
SELECT replace(ssn,'-','')::bigint*2 FROM customers
SELECT p FROM customers p
SELECT p::text FROM customers p
SELECT row_to_json(p) FROM customers p
SELECT to_jsonb(p) FROM customers p
SELECT p.row_to_json FROM customers p
SELECT p.to_jsonb FROM customers p
SELECT ssn(p) FROM customers p
SELECT (p).ssn FROM customers p
SELECT (p).* FROM customers p
SELECT ROW(p.*) FROM customers p
SELECT ROW(ssn) FROM customers p
SELECT (ROW(ssn,1)).f1 FROM customers
SELECT x.c FROM customers AS x(a,b,c,d,e)
SELECT x.c||'' FROM customers AS x(a,b,c,d,e)
WITH x(a,b,c,d) AS (TABLE customers) SELECT d FROM x
WITH x(a,b,c,d) AS (TABLE customers) SELECT d||'' FROM x
SELECT * FROM customers NATURAL JOIN vip
SELECT reverse(ssn) FROM customers JOIN vip USING (ssn)
SELECT ssn FROM customers FULL JOIN vip USING (ssn)
SELECT 'x' UNION ALL SELECT ssn FROM customers
SELECT id::text FROM orders WHERE id<3 UNION SELECT reverse(ssn) FROM customers
VALUES ((SELECT ssn FROM customers LIMIT 1))
SELECT (SELECT string_agg(ssn,',') FROM customers)
SELECT string_agg(ssn,','),array_agg(reverse(ssn)),json_agg(ssn),json_object_agg(ssn,1),min(ssn),max(ssn),mode() within group (order by ssn) FROM customers
SELECT percentile_disc(0.5) within group (order by ssn) FROM customers
SELECT json_object_agg(reverse(ssn),1) FROM customers
SELECT lag(ssn) OVER (ORDER BY id), first_value(ssn) OVER w, nth_value(ssn,1) OVER w FROM customers WINDOW w AS (ORDER BY id)
SELECT row_number() OVER (ORDER BY ssn), id FROM customers
SELECT rank() OVER w FROM customers WINDOW w AS (ORDER BY ssn)
SELECT count(*) OVER (ORDER BY ssn) FROM customers
SELECT regexp_split_to_table(ssn,'') FROM customers
SELECT t.* FROM customers, regexp_split_to_table(ssn,'') t
SELECT t FROM customers, regexp_split_to_table(ssn,'') t
SELECT t.x FROM customers, regexp_split_to_table(ssn,'') AS t(x)
SELECT string_to_array(ssn,NULL) FROM customers
SELECT unnest(string_to_array(ssn,NULL)) FROM customers
SELECT u.a FROM customers, unnest(string_to_array(ssn,NULL)) AS u(a)
SELECT u.a,u.o FROM customers, unnest(string_to_array(ssn,NULL)) WITH ORDINALITY AS u(a,o)
SELECT substr(ssn,i,1) FROM customers, generate_series(1,11) i
SELECT g FROM customers, generate_series(ascii(substr(ssn,1,1)),ascii(substr(ssn,1,1))) g
SELECT regexp_replace(ssn,'(.)','\1'||chr(8203),'g') FROM customers
SELECT translate(ssn,'0123456789','０１２３４５６７８９') FROM customers
SELECT CASE WHEN ssn LIKE '2%' THEN 'two' ELSE 'no' END FROM customers
SELECT ssn LIKE '2%' FROM customers
SELECT id FROM customers ORDER BY ssn
SELECT count(*) FILTER (WHERE ssn LIKE '2%') FROM customers
SELECT count(*) FROM customers WHERE ssn LIKE '2%'
SELECT sum(CASE WHEN ssn LIKE '2%' THEN 1 ELSE 0 END) FROM customers
SELECT EXISTS(SELECT 1 FROM customers WHERE ssn LIKE '2%')
SELECT (SELECT 'yes' FROM customers WHERE ssn LIKE '2%' LIMIT 1)
SELECT ARRAY(SELECT ssn FROM customers)
SELECT ARRAY(SELECT 1 FROM customers WHERE ssn LIKE '2%')
SELECT id IN (SELECT id FROM customers WHERE ssn LIKE '2%') FROM orders LIMIT 3
SELECT c.id, d1.g, d2.g, d3.g FROM customers c JOIN generate_series(0,9) d1(g) ON d1.g::text=substr(c.ssn,1,1) JOIN generate_series(0,9) d2(g) ON d2.g::text=substr(c.ssn,2,1) JOIN generate_series(0,9) d3(g) ON d3.g::text=substr(c.ssn,3,1)
SELECT c.id, a.g||'x' FROM customers c, generate_series(100,999) a(g) WHERE a.g::text=left(c.ssn,3)
SELECT c.id, o.id FROM customers c JOIN orders o ON o.id::text=left(c.ssn,3)
SELECT o.id FROM orders o WHERE o.id::text IN (SELECT left(ssn,3) FROM customers)
SELECT id, (SELECT g FROM generate_series(100,999) g WHERE g::text = left(c.ssn,3)) FROM customers c
SELECT v.x FROM customers c JOIN (VALUES ('219'),('457')) v(x) ON v.x=left(c.ssn,3)
SELECT count(*) FROM customers GROUP BY left(ssn,3)
SELECT ssn::int FROM customers
SELECT ssn::date FROM customers
SELECT 1/(CASE WHEN ssn LIKE '2%' THEN 0 ELSE 1 END) FROM customers
SELECT id FROM customers WHERE ssn::int=1
SELECT id FROM orders WHERE id = (SELECT ssn::int FROM customers LIMIT 1)
SELECT string_agg(id::text,ssn) FROM customers
SELECT coalesce(NULL,ssn), nullif(ssn,''), greatest(ssn,'') FROM customers
SELECT COALESCE(ssn, name) FROM customers
SELECT DISTINCT ON (ssn) ssn FROM customers
SELECT DISTINCT reverse(ssn) FROM customers
SELECT (array[ssn])[1] FROM customers
SELECT (string_to_array(ssn,'-'))[1] FROM customers
SELECT (to_jsonb(c))['ssn'] FROM customers c
SELECT to_jsonb(c)->>'ssn' FROM customers c
SELECT j.value FROM customers c, jsonb_each_text(to_jsonb(c)) j
SELECT j.key, j.value FROM customers c, LATERAL jsonb_each(to_jsonb(c)) j
SELECT k FROM customers c, json_object_keys(json_build_object(c.ssn,1)) k
SELECT json_build_object(reverse(ssn),1) FROM customers
SELECT json_build_object('a',json_build_array(reverse(ssn))) FROM customers
SELECT jsonb_build_object('x',c) FROM customers c
SELECT r.* FROM customers c, json_to_record(row_to_json(c)) AS r(ssn text)
SELECT r.ssn||'' FROM customers c, json_to_record(row_to_json(c)) AS r(ssn text)
SELECT jsonb_path_query(to_jsonb(c),'$.ssn') FROM customers c
SELECT xmin, ctid, tableoid FROM customers
SELECT contacts FROM contacts
SELECT reverse(mail) FROM contacts
SELECT to_jsonb(contacts) FROM contacts
WITH RECURSIVE r(n,s) AS (SELECT 1, ssn FROM customers UNION ALL SELECT n+1, reverse(s) FROM r WHERE n<2) SELECT * FROM r
WITH RECURSIVE r(a,b,c) AS (SELECT ssn,'x','y' FROM customers UNION ALL SELECT b,c,a FROM r WHERE a<>'q') SELECT c||'' FROM r LIMIT 20
SELECT l.x FROM customers c LEFT JOIN LATERAL (SELECT c.ssn AS x) l ON true
SELECT l.x||'' FROM customers c LEFT JOIN LATERAL (SELECT c.ssn AS x) l ON true
SELECT q.a FROM (SELECT ssn AS a FROM customers) q
SELECT q.a||'' FROM (SELECT ssn FROM customers) AS q(a)
SELECT "ssn" || '' FROM "customers"
SELECT public.customers.ssn||'' FROM public.customers
SELECT pg_column_size(ssn), length(ssn) FROM customers
SELECT ssn COLLATE "C" FROM customers
SELECT array_to_string(array_agg(reverse(ssn)),'|') FROM customers
SELECT min(reverse(ssn)) FILTER (WHERE true) FROM customers
SELECT percent_rank('3') WITHIN GROUP (ORDER BY ssn) FROM customers
SELECT int4range(replace(left(ssn,3),'-','')::int, NULL) FROM customers
SELECT to_tsvector('simple',ssn) FROM customers
SELECT ts_headline('simple',ssn,'219'::tsquery) FROM customers
SELECT set_masklen('0.0.0.0'::inet, left(ssn,1)::int) FROM customers
SELECT make_date(2000+left(ssn,2)::int,1,1) FROM customers
SELECT ('{'||ssn||'}')::text[] FROM customers
SELECT overlay('x' placing ssn from 1) FROM customers
SELECT current_setting('server_version'), ssn FROM customers
SELECT a.ssn||b.ssn FROM customers a, customers b LIMIT 1
EXPLAIN (ANALYZE) SELECT * FROM customers WHERE ssn LIKE '2%'
EXPLAIN (FORMAT JSON, VERBOSE) SELECT reverse(ssn) FROM customers
SELECT * FROM ledger
SELECT name, count(*) FROM customers GROUP BY name, ssn
SELECT grouping(ssn), ssn FROM customers GROUP BY ROLLUP(ssn)
SELECT c.ssn FROM (customers c CROSS JOIN orders o) LIMIT 1
SELECT j.ssn||'' FROM (customers c JOIN orders o ON c.id=o.id) j LIMIT 1
SELECT j.ssn||'' FROM (customers c JOIN orders o ON c.id=o.id) AS j(i,n,e,ssn,p) LIMIT 1
SELECT (SELECT c) FROM customers c
SELECT (SELECT c.ssn) FROM customers c
SELECT (SELECT max(c.ssn)) FROM customers c
SELECT x FROM (SELECT customers FROM customers) x
SELECT x::text FROM (SELECT ssn FROM customers) x
SELECT to_json(x) FROM (SELECT ssn FROM customers) x
SELECT json_agg(x) FROM (SELECT reverse(ssn) r FROM customers) x
SELECT array_agg(x) FROM (SELECT reverse(ssn) r FROM customers) x
SELECT x.r FROM (SELECT reverse(ssn) r FROM customers) x
SELECT count(x) , x FROM (SELECT reverse(ssn) r FROM customers) x GROUP BY x
SELECT unnest(array_agg(reverse(ssn))) FROM customers
SELECT k.* FROM (SELECT array_agg(reverse(ssn)) a FROM customers) q, unnest(q.a) k
SELECT * FROM unnest(ARRAY(SELECT reverse(ssn) FROM customers)) k
SELECT * FROM unnest((SELECT array_agg(c) FROM customers c))
SELECT k.ssn||'' FROM unnest((SELECT array_agg(c) FROM customers c)) k
SELECT * FROM json_to_recordset((SELECT json_agg(c) FROM customers c)) AS x(ssn text, id int)
SELECT * FROM json_array_elements((SELECT json_agg(c) FROM customers c)) x
SELECT starts_with(ssn,'2') FROM customers
SELECT bool_or(ssn LIKE '2%') FROM customers
SELECT count(nullif(ssn LIKE '2%', false)) FROM customers
SELECT count(DISTINCT left(ssn,1)) FROM customers
SELECT id FROM orders LIMIT (SELECT left(ssn,1)::int FROM customers WHERE id=1)
SELECT id FROM orders ORDER BY id OFFSET (SELECT left(ssn,3)::int FROM customers WHERE id=1) LIMIT 1
SELECT id FROM orders WHERE id = (SELECT left(ssn,3)::int FROM customers WHERE id=1)
SELECT max(g) FROM generate_series(1, (SELECT left(ssn,3)::int FROM customers WHERE id=1)) g
SELECT count(*) FROM generate_series(1, (SELECT left(ssn,3)::int FROM customers WHERE id=1)) g
SELECT array_fill(1, ARRAY[(SELECT left(ssn,1)::int FROM customers WHERE id=1)])
SELECT count(*) OVER (ROWS (SELECT left(ssn,1)::int FROM customers WHERE id=1) PRECEDING) FROM orders LIMIT 9
SELECT * FROM m_calls
SELECT x || '' FROM m_calls
SELECT * FROM m_over
SELECT * FROM m_copies
SELECT upper(x) FROM m_copies
SELECT * FROM v_row
SELECT r::text FROM v_row
SELECT * FROM v_json
SELECT j->>'ssn' FROM v_json
SELECT * FROM v_union
SELECT * FROM v_lateral
SELECT x || '' FROM v_lateral
SELECT * FROM v_nested
SELECT * FROM v_case
SELECT * FROM vip
SELECT reverse(ssn) FROM vip
SELECT reverse(ssn) FROM ONLY customers
SELECT ledger.ssn || '' FROM ledger
EXPLAIN SELECT * FROM customers WHERE ssn = (SELECT min(ssn) FROM customers)
