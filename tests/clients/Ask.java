/* One statement by pgjdbc: its rows or its error; an interrupt cancels it. */

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

public class Ask {
    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGUSER"));
        properties.setProperty("password", System.getenv("PGPASSWORD"));
        properties.setProperty("sslmode", System.getenv("PGSSLMODE"));
        properties.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
            + "/" + System.getenv("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(url, properties);
             Statement statement = connection.createStatement()) {
            Thread main = Thread.currentThread();
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                try {
                    statement.cancel();
                    main.join(10_000);
                } catch (Exception error) {
                    System.out.println("not cancelled: " + error.getMessage());
                }
            }));
            try {
                if (statement.execute(arguments[0])) {
                    ResultSet rows = statement.getResultSet();
                    while (rows.next()) System.out.println(rows.getString(1));
                } else {
                    System.out.println("changed: " + statement.getUpdateCount());
                }
            } catch (SQLException error) {
                System.out.println("ERROR " + error.getSQLState() + " " + error.getMessage());
            }
        }
    }
}
