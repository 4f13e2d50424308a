-- The eight tables of TPC-H (Transaction Processing Performance Council, TPC-H specification,
-- clause 1.4), written for PostgreSQL. The rows are made up, so that most queries find something.
CREATE TABLE region (
  r_regionkey integer PRIMARY KEY, r_name char(25) NOT NULL, r_comment varchar(152));
CREATE TABLE nation (
  n_nationkey integer PRIMARY KEY, n_name char(25) NOT NULL,
  n_regionkey integer NOT NULL REFERENCES region, n_comment varchar(152));
CREATE TABLE part (
  p_partkey integer PRIMARY KEY, p_name varchar(55) NOT NULL, p_mfgr char(25) NOT NULL,
  p_brand char(10) NOT NULL, p_type varchar(25) NOT NULL, p_size integer NOT NULL,
  p_container char(10) NOT NULL, p_retailprice numeric(15,2) NOT NULL, p_comment varchar(23) NOT NULL);
CREATE TABLE supplier (
  s_suppkey integer PRIMARY KEY, s_name char(25) NOT NULL, s_address varchar(40) NOT NULL,
  s_nationkey integer NOT NULL REFERENCES nation, s_phone char(15) NOT NULL,
  s_acctbal numeric(15,2) NOT NULL, s_comment varchar(101) NOT NULL);
CREATE TABLE partsupp (
  ps_partkey integer NOT NULL REFERENCES part, ps_suppkey integer NOT NULL REFERENCES supplier,
  ps_availqty integer NOT NULL, ps_supplycost numeric(15,2) NOT NULL, ps_comment varchar(199) NOT NULL,
  PRIMARY KEY (ps_partkey, ps_suppkey));
CREATE TABLE customer (
  c_custkey integer PRIMARY KEY, c_name varchar(25) NOT NULL, c_address varchar(40) NOT NULL,
  c_nationkey integer NOT NULL REFERENCES nation, c_phone char(15) NOT NULL,
  c_acctbal numeric(15,2) NOT NULL, c_mktsegment char(10) NOT NULL, c_comment varchar(117) NOT NULL);
CREATE TABLE orders (
  o_orderkey integer PRIMARY KEY, o_custkey integer NOT NULL REFERENCES customer,
  o_orderstatus char(1) NOT NULL, o_totalprice numeric(15,2) NOT NULL, o_orderdate date NOT NULL,
  o_orderpriority char(15) NOT NULL, o_clerk char(15) NOT NULL, o_shippriority integer NOT NULL,
  o_comment varchar(79) NOT NULL);
CREATE TABLE lineitem (
  l_orderkey integer NOT NULL REFERENCES orders, l_partkey integer NOT NULL,
  l_suppkey integer NOT NULL, l_linenumber integer NOT NULL, l_quantity numeric(15,2) NOT NULL,
  l_extendedprice numeric(15,2) NOT NULL, l_discount numeric(15,2) NOT NULL,
  l_tax numeric(15,2) NOT NULL, l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL,
  l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
  l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL,
  PRIMARY KEY (l_orderkey, l_linenumber),
  FOREIGN KEY (l_partkey, l_suppkey) REFERENCES partsupp);
INSERT INTO region VALUES (1, 'AMERICA', ''), (2, 'ASIA', ''), (3, 'EUROPE', '');
INSERT INTO nation VALUES
  (1, 'BRAZIL', 1, ''), (2, 'GERMANY', 3, ''), (3, 'FRANCE', 3, ''), (4, 'SAUDI ARABIA', 2, ''),
  (5, 'CANADA', 1, ''), (6, 'JAPAN', 2, '');
INSERT INTO part VALUES
  (1, 'forest green', 'M1', 'Brand#23', 'ECONOMY ANODIZED STEEL', 15, 'MED BOX', 9.5, ''),
  (2, 'blue', 'M2', 'Brand#12', 'PROMO BRASS', 15, 'SM CASE', 19.5, '');
INSERT INTO supplier VALUES
  (1, 'S1', 'a', 3, '1', 1, ''), (2, 'S2', 'b', 4, '2', 2, 'Customer x Complaints'),
  (3, 'S3', 'c', 5, '3', 3, '');
INSERT INTO partsupp VALUES (1, 1, 10, 1, ''), (2, 2, 5, 3, ''), (1, 2, 8, 2, ''), (2, 1, 8, 2, ''),
  (1, 3, 900, 2, '');
INSERT INTO customer VALUES
  (1, 'C1', 'a', 2, '13-1', 9, 'BUILDING', ''), (2, 'C2', 'b', 1, '31-2', 0, 'AUTO', ''),
  (3, 'C3', 'c', 6, '23-3', 5000, 'BUILDING', '');
INSERT INTO orders VALUES
  (1, 1, 'F', 100, '1995-03-10', '1-URGENT', 'k', 0, ''),
  (2, 2, 'F', 50, '1993-08-10', '2-HIGH', 'k', 0, 'special requests');
INSERT INTO lineitem VALUES
  (1, 1, 1, 1, 310, 100, 0.06, 0.1, 'R', 'F', '1995-03-20', '1995-04-01', '1995-04-20',
   'DELIVER IN PERSON', 'AIR', ''),
  (2, 2, 2, 1, 5, 50, 0.06, 0, 'N', 'O', '1994-05-01', '1994-06-01', '1994-07-01', 'NONE', 'MAIL', ''),
  (2, 2, 1, 2, 7, 70, 0.05, 0, 'R', 'F', '1993-09-01', '1993-09-20', '1993-09-15', 'NONE', 'SHIP', '');
